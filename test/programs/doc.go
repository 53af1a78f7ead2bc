// Package programs holds what docs/programs.md tells operators: each test has a
// real program, from Debian's packages and not changed for us, go from one image
// to the next and back under clients who stay connected, and checks what changes,
// what stays and what does not work.
//
// The agent, the containerd and the containers are real; only the API server is
// not.
package programs
