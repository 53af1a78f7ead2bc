// Command server is the process 1 of test containers: it answers lines over TCP
// about what it sees, so that a test can ask while the root is changed under it.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	hangups atomic.Int64
	kept    []*os.File // by one test's one connection
)

// born is the version that the program was started on.
var born, _ = os.ReadFile("/version")

func main() {
	if len(os.Args) > 1 {
		command(os.Args[1:])
		return
	}
	go reap()
	hup := make(chan os.Signal, 16)
	signal.Notify(hup, syscall.SIGHUP)
	listener := listen()
	go func() {
		for range hup {
			hangups.Add(1)
			if os.Getenv("REEXEC") != "" {
				reexec(listener)
			}
		}
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go serve(conn)
	}
}

// command runs what tests exec in the container.
func command(args []string) {
	switch args[0] {
	case "sleep":
		time.Sleep(time.Hour)
	case "true":
	case "fail":
		fmt.Println("it went wrong")
		os.Exit(3)
	case "babble": // more than anyone keeps, to both streams at once
		for i := range 500 {
			fmt.Println("so", i)
			fmt.Fprintln(os.Stderr, "much", i)
		}
		fmt.Println("the end")
		os.Exit(4)
	case "leave": // a child that keeps the output open
		child := exec.Command("/proc/self/exe", "sleep")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Println("left one behind")
		os.Exit(5)
	case "cat":
		content, err := os.ReadFile(args[1])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Stdout.Write(content)
	case "is": // is PATH CONTENT
		content, _ := os.ReadFile(args[1])
		if string(content) != args[2] {
			fmt.Printf("%s is %q, not %q\n", args[1], content, args[2])
			os.Exit(1)
		}
	}
}

func listen() *net.TCPListener {
	if fd, err := strconv.Atoi(os.Getenv("LISTENER")); err == nil {
		l, err := net.FileListener(os.NewFile(uintptr(fd), "listener"))
		if err != nil {
			panic(err)
		}
		return l.(*net.TCPListener)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile("/share/addr.new", []byte(l.Addr().String()), 0o644); err != nil {
		panic(err)
	}
	if err := os.Rename("/share/addr.new", "/share/addr"); err != nil {
		panic(err)
	}
	return l.(*net.TCPListener)
}

// reexec becomes the program that the image now has.
func reexec(l *net.TCPListener) {
	f, err := l.File() // not close-on-exec once duplicated again
	if err != nil {
		panic(err)
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		panic(err)
	}
	panic(syscall.Exec("/server", os.Args, append(os.Environ(), "LISTENER="+strconv.Itoa(fd))))
}

func reap() {
	ended := make(chan os.Signal, 16)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		answer, err := answer(strings.Fields(lines.Text()))
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Fprintln(conn, strings.ReplaceAll(answer, "\n", " "))
	}
}

func answer(args []string) (string, error) {
	switch args[0] {
	case "read":
		content, err := os.ReadFile(args[1])
		return string(content), err
	case "write":
		return "ok", os.WriteFile(args[1], []byte(args[2]), 0o644)
	case "open": // and keep it
		f, err := os.OpenFile(args[1], os.O_RDWR|os.O_CREATE, 0o644)
		kept = append(kept, f)
		return "ok", err
	case "listen":
		_, err := net.Listen("unix", args[1])
		return "ok", err
	case "dial":
		_, err := net.Dial("unix", args[1])
		return "ok", err
	case "chdir":
		return "ok", os.Chdir(args[1])
	case "chroot":
		return "ok", syscall.Chroot(args[1])
	case "cwd": // as the kernel has it
		return syscall.Getwd()
	case "mkdir":
		return "ok", os.MkdirAll(args[1], 0o755)
	case "rmdir":
		return "ok", os.Remove(args[1])
	case "chown":
		return "ok", os.Chown(args[1], 1234, 1234)
	case "born":
		return string(born), nil
	case "hangups":
		return strconv.FormatInt(hangups.Load(), 10), nil
	case "spawn":
		return "ok", spawn("sleep")
	case "start": // a program of the image
		program := exec.Command(args[1], args[2:]...)
		program.Stdout, program.Stderr = os.Stdout, os.Stderr
		return "ok", program.Start()
	case "fork":
		go forkForever()
		return "ok", nil
	}
	return "", fmt.Errorf("what is %q?", args)
}

func spawn(what string) error { return exec.Command("/proc/self/exe", what).Start() }

func forkForever() {
	for {
		if err := spawn("true"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			time.Sleep(time.Millisecond)
		}
	}
}
