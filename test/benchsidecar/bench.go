package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	program = "bin/hotpatch-sidecar"
	config  = `plugins:
- name: hot_update
  config:
    loadPatchType: signal
    signal: {processName: %q, signalName: SIGHUP}
    fileDir: %s
download: {allowAddresses: [127.0.0.1], maxBytes: 2147483648}
`
)

// bench is a sidecar, and all around it.
type bench struct {
	dir      string
	address  string // of the sidecar
	upstream net.Listener
	sending  atomic.Int64 // nanoseconds that the upstream took for its answer
	told     chan os.Signal
	process  *exec.Cmd
	used     usage    // when it was looked at last
	missed   []string // targets
}

func newBench() (*bench, error) {
	dir, err := os.MkdirTemp("", "benchsidecar-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, told: make(chan os.Signal, 1)}
	signal.Notify(b.told, syscall.SIGHUP)
	name := strings.Join(os.Args, " ")
	if err := os.WriteFile(dir+"/config.yaml", fmt.Appendf(nil, config, name, dir+"/files"), 0o644); err != nil {
		return nil, err
	}
	if b.upstream, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	go http.Serve(b.upstream, http.HandlerFunc(b.serve))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b.address = free.Addr().String()
	return b, free.Close()
}

func (b *bench) close() {
	b.end()
	b.upstream.Close()
	os.RemoveAll(b.dir)
}

// serve answers /SIZE/name with so many bytes, which are the letter asked for.
func (b *bench) serve(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	size, _ := strconv.Atoi(strings.Split(r.URL.Path, "/")[1])
	w.Header().Set("Content-Length", strconv.Itoa(size))
	letter := cmp.Or(r.FormValue("letter"), "x")
	for chunk := bytes.Repeat([]byte(letter), min(size, mb)); size > 0; size -= len(chunk) {
		w.Write(chunk[:min(size, len(chunk))])
	}
	b.sending.Store(int64(time.Since(begun)))
}

func (b *bench) start(ctx context.Context) error {
	b.process = exec.Command(program, "--config", b.dir+"/config.yaml", "--listen", b.address, "--service-account", b.dir, "--log-level", "error")
	b.process.Stderr = os.Stderr
	if err := b.process.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if resp, err := http.Get("http://" + b.address + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return errors.New("the sidecar did not become ready")
}

func (b *bench) end() error {
	if b.process == nil {
		return nil
	}
	b.process.Process.Signal(syscall.SIGTERM)
	err := b.process.Wait()
	b.process = nil
	return err
}

// update is the time from the POST to the signal, the upstream's own left out.
func (b *bench) update(ctx context.Context, size int) (time.Duration, error) {
	form := url.Values{"version": {"v1"}, "url": {fmt.Sprintf("http://%s/%d/file.bin", b.upstream.Addr(), size)}}
	answered := make(chan error, 1)
	begun := time.Now()
	go func() { answered <- b.post(form) }()
	select {
	case <-b.told:
	case err := <-answered:
		if err != nil {
			return 0, err
		}
		answered <- nil
		<-b.told
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return time.Since(begun) - time.Duration(b.sending.Load()), <-answered
}

func (b *bench) post(form url.Values) error {
	resp, err := http.PostForm("http://"+b.address+"/hot-update", form)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the sidecar answers %d: %s", resp.StatusCode, body)
	}
	return err
}

// usage is what the sidecar's process has taken.
type usage struct {
	resident, anonymous float64 // MB
	cpu                 time.Duration
	wakeups             int
}

func (b *bench) usage() (u usage, err error) {
	dir := fmt.Sprintf("/proc/%d", b.process.Process.Pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, err
	}
	u.resident, u.anonymous = number(status, "VmRSS:")*1024/1e6, number(status, "RssAnon:")*1024/1e6
	tasks, err := filepath.Glob(dir + "/task/*/status")
	for _, task := range tasks {
		content, _ := os.ReadFile(task)
		u.wakeups += int(number(content, "voluntary_ctxt_switches:"))
	}
	stat, _ := os.ReadFile(dir + "/stat")
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, ticks := range fields[11:13] {
		n, _ := strconv.Atoi(ticks)
		u.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	return u, err
}

// number is the one after a name in a file of /proc.
func number(content []byte, name string) float64 {
	_, rest, _ := strings.Cut("\n"+string(content), "\n"+name)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(fields[0], 64)
	return n
}
