// A primary and a worker. On SIGHUP there is a new worker, and the old one stays
// for as long as somebody is connected to it.
const cluster = require('cluster')
const net = require('net')

if (cluster.isPrimary) {
  let worker = cluster.fork()
  process.on('SIGHUP', () => {
    const old = worker
    worker = cluster.fork()
    worker.once('listening', () => old.disconnect())
  })
} else {
  const code = require('/srv/code') // now
  const answers = {
    code: () => code.version,
    late: () => require('/srv/late').version, // by the first who asks for it
    uv: () => process.versions.uv
  }
  net.createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', line => socket.write(answers[line.toString().trim()]() + '\n'))
  }).listen(Number(process.env.PORT), '127.0.0.1')
}
