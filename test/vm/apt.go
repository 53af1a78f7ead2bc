package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"hotpatch.dev/hotpatch/internal/debian"
)

// mirror is Debian's own name for whichever mirror is near; other suites and
// architectures than this machine's are not among its sources.
const (
	mirror  = "http://deb.debian.org/debian"
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// apt is a suite for an architecture, apart from the packages of this machine.
type apt struct {
	dir     string
	options []string
}

func (w *workshop) apt(suite, arch string) (*apt, error) {
	dir, err := w.dir("apt", suite+"-"+arch)
	if err != nil {
		return nil, err
	}
	a := &apt{dir: dir}
	for _, o := range []string{
		"APT::Architecture=" + arch, "APT::Architectures=" + arch, "APT::Sandbox::User=root", "Acquire::Languages=none", "Acquire::Retries=3",
		"Dir::State=" + dir + "/state", "Dir::State::status=" + dir + "/status", "Dir::Cache=" + dir + "/cache",
		"Dir::Etc::sourcelist=" + dir + "/sources.list", "Dir::Etc::sourceparts=-", "Dir::Etc::preferencesparts=-",
	} {
		a.options = append(a.options, "-o", o)
	}
	source := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, suite)
	if err := errors.Join(os.MkdirAll(dir+"/state/lists/partial", 0o755), os.MkdirAll(dir+"/cache/archives/partial", 0o755), os.MkdirAll(dir+"/debs", 0o755),
		os.WriteFile(dir+"/status", nil, 0o644), os.WriteFile(dir+"/sources.list", []byte(source), 0o644)); err != nil {
		return nil, err
	}
	return a, nil
}

// unpacked is the folder with a package's files, downloaded once.
func (a *apt) unpacked(ctx context.Context, name string) (string, error) {
	dir := filepath.Join(a.dir, "debs", name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	scratch, err := os.MkdirTemp(a.dir, "deb")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	deb, err := a.download(ctx, scratch, name)
	if err != nil {
		return "", err
	}
	if _, err := command(ctx, scratch, "dpkg-deb", "-R", deb, "files"); err != nil {
		return "", err
	}
	return dir, os.Rename(filepath.Join(scratch, "files"), dir)
}

// download fetches a package, with a fresh look at what there is if the last
// one is too old.
func (a *apt) download(ctx context.Context, dir, name string) (string, error) {
	get := func(args ...string) error {
		_, err := command(ctx, dir, "apt-get", append(append([]string{"-q"}, a.options...), args...)...)
		return err
	}
	if get("download", name) != nil {
		if err := get("update"); err != nil {
			return "", err
		}
		if err := get("download", name); err != nil {
			return "", err
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("download %s: apt left %d packages: %w", name, len(debs), err)
	}
	return debs[0], nil
}

// depends is the first package that another depends on: the kernel itself, of a
// package that only names the newest.
func (a *apt) depends(ctx context.Context, name string) (string, error) {
	dir, err := a.unpacked(ctx, name)
	if err != nil {
		return "", err
	}
	control, err := os.ReadFile(filepath.Join(dir, "DEBIAN/control"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(control)) {
		if rest, ok := strings.CutPrefix(line, "Depends:"); ok && len(strings.Fields(rest)) > 0 {
			return strings.TrimRight(strings.Fields(rest)[0], ","), nil
		}
	}
	return "", fmt.Errorf("package %s depends on nothing", name)
}

// installEmulators has what runs the rows' machines on this one.
func installEmulators(wanted []row) error {
	programs := map[string]string{}
	for _, r := range wanted {
		e := emulators[r.arch]
		programs[e.program] = e.pkg
	}
	return debian.Need(context.Background(), "the swap's tests are run in virtual machines", programs)
}

// command runs a program to its end; the error has what it said.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
