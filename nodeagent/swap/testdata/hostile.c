// Hostile is a process that is out to have a swap of its container go wrong, in
// one of many ways: its first argument. Once it is at it, /share/hostile says so.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int failed, const char *what) {
	if (failed) {
		perror(what);
		exit(1);
	}
}

static void ready(void) {
	int fd = open("/share/hostile", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	must(fd < 0 || write(fd, "ready", 5) != 5, "ready");
	close(fd);
}

static void make_file(const char *name) {
	int fd = open(name, O_WRONLY | O_CREAT, 0644);
	must(fd < 0, name);
	close(fd);
}

// fill_table mounts many times: on the root itself, or all below one mount.
static void fill_table(int count, const char *where) {
	char name[64];
	mkdir("/sub/many", 0755);
	if (!strcmp(where, "nested"))
		must(mount("many", "/sub/many", "tmpfs", 0, NULL), "tmpfs");
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof name, "/sub/many/%d", i);
		make_file(name);
		must(mount("/version", name, NULL, MS_BIND, NULL), name);
	}
	ready();
	for (;;)
		pause();
}

// exchange has two names change places for ever.
static void exchange(const char *one, const char *other) {
	for (;;)
		renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

// cover mounts on the place where new roots wait, and takes off what is there.
static void cover(void) {
	for (int i = 0;; i++) {
		if (i % 3)
			mount("cover", "/proc/tty", "tmpfs", 0, NULL);
		else
			mount("/sub", "/proc/tty", NULL, MS_BIND, NULL);
		usleep(i % 7 * 1000);
		umount2("/proc/tty", MNT_DETACH);
		usleep(i % 11 * 1000);
	}
}

// replace has another /proc stand in for the container's, with a symlink where
// new roots wait.
static void replace(const char *outside) {
	for (;;) {
		mount("proc", "/proc", "tmpfs", 0, NULL);
		symlink(outside, "/proc/tty");
		umount2("/proc", MNT_DETACH);
		usleep(20000);
	}
}

// remount has the mounts of the container come and go under a look.
static void remount(void) {
	mkdir("/sub/mounts", 0755);
	mkdir("/sub/mounts/inner", 0755);
	for (;;) {
		mount("remount", "/sub/mounts/inner", "tmpfs", 0, NULL);
		umount2("/sub/mounts/inner", MNT_DETACH);
	}
}

// wander never stays in a directory, nor on a root.
static void wander(void) {
	int root = open("/", O_RDONLY | O_DIRECTORY);
	for (;;)
		if (chdir("/sub/dir") || chroot("/sub") || fchdir(root) || chroot("."))
			fchdir(root);
}

static void race(const char *outside) {
	must(symlink(outside, "/evil-run") || symlink(outside, "/evil-tmp") || symlink(outside, "/sub/evil"), "symlinks");
	must(mkdir("/sub/place", 0755) && errno != EEXIST, "place");
	for (int what = 0; what < 7; what++)
		if (fork() == 0)
			switch (what) {
			case 0: exchange("/run", "/evil-run"); break;
			case 1: exchange("/tmp", "/evil-tmp"); break;
			case 2: exchange("/sub/mounts", "/sub/evil"); break;
			case 3: cover(); break;
			case 4: replace(outside); break;
			case 5: remount(); break;
			case 6: wander(); break;
			}
}

// bomb forks without end: every process leaves another behind, and ends.
static void bomb(int lines) {
	for (int i = 0; i < lines; i++)
		if (fork() == 0)
			for (;;)
				if (fork() > 0)
					_exit(0);
}

// name gives this process, its directory and a mount names that would do
// something to a terminal, or end a line of a log.
static void name(void) {
	const char *odd = "/sub/\033[31m\nall is well\\";
	prctl(PR_SET_NAME, "\033[2Jx\ny");
	must(mkdir(odd, 0755) || mount("odd", odd, "tmpfs", 0, NULL) || chdir(odd), "odd name");
	must(unshare(CLONE_NEWNS), "unshare"); // stays behind, and is named
}

// lease has whoever opens a file wait for this process, which does not mind.
static void lease(const char *file) {
	int fd = open(file, O_RDWR | O_CREAT, 0644);
	must(fd < 0 || signal(SIGIO, SIG_IGN) == SIG_ERR || fcntl(fd, F_SETLEASE, F_WRLCK), "lease");
}

int main(int argc, char **argv) {
	const char *how = argc > 1 ? argv[1] : "", *what = argc > 2 ? argv[2] : "";
	if (!strcmp(how, "mounts"))
		fill_table(atoi(what), argc > 3 ? argv[3] : "");
	else if (!strcmp(how, "race"))
		race(what);
	else if (!strcmp(how, "bomb"))
		bomb(atoi(what));
	else if (!strcmp(how, "lease"))
		lease(what);
	else if (!strcmp(how, "name"))
		name();
	else
		must(1, "what?");
	ready();
	for (;;)
		pause();
}
