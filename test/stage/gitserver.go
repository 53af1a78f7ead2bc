package stage

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RepoURL is where everyone finds the repository.
const RepoURL = "http://" + GitAddress + "/" + RepoName

// StartGit starts a Git server (smart HTTP), anew if one runs, with an empty
// repository if there is none. It outlives this process; StopGit ends it. Each
// push is told to hook, if there is one, as a forge's webhook would.
func (s *Stage) StartGit(ctx context.Context, hook string) error {
	if err := s.stopGitServer(); err != nil { // it may call the hook of a cluster that is gone
		return err
	}
	if err := os.MkdirAll(s.path("git"), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(s.path("git.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"--root", s.path("git"), "--init", RepoName, "--listen", GitAddress}
	if hook != "" {
		args = append(args, "--hook-url", hook)
	}
	cmd := exec.Command(s.path("bin/gitserver"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the Git server (is `make images` done?): %w", err)
	}
	go cmd.Wait() // reaps it if it ends before we do
	if err := os.WriteFile(s.path("git.pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		return err
	}
	return Eventually(ctx, 10*time.Second, func(ctx context.Context) error {
		resp, err := http.Get(RepoURL + "/info/refs?service=git-upload-pack")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("Git server answers %s", resp.Status)
		}
		return nil
	})
}

// StopGit ends the Git server and removes its repository.
func (s *Stage) StopGit() error {
	if err := s.stopGitServer(); err != nil {
		return err
	}
	return os.RemoveAll(s.path("git"))
}

// stopGitServer ends the server, if it runs, and waits until it has.
func (s *Stage) stopGitServer() error {
	pid := s.gitPID()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	return Eventually(context.Background(), 5*time.Second, func(context.Context) error {
		if s.gitPID() != 0 {
			return fmt.Errorf("Git server %d does not end", pid)
		}
		return nil
	})
}

// gitPID is the server's PID, 0 if it does not run. The command line is looked
// at, because PIDs are used again.
func (s *Stage) gitPID() int {
	text, err := os.ReadFile(s.path("git.pid"))
	if err != nil {
		return 0
	}
	cmdline, err := os.ReadFile("/proc/" + string(text) + "/cmdline")
	if err != nil || !strings.HasPrefix(string(cmdline), s.path("bin/gitserver")) {
		return 0
	}
	pid, _ := strconv.Atoi(string(text))
	return pid
}
