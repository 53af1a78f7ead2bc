// Waiter has one thread in each kind of system call that a program can be
// stopped in, each with a working directory of its own, and looks whether it
// comes back from there as it should: with its registers, its signals and its
// time. What it saw stands in a file that tests read.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "held.h"

static struct seen *table;
static const char *directory;
static const long wait_ns = 20 * 1000 * 1000;
static const struct timespec wait_time = {0, wait_ns};

static long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static long call(struct seen *s, long nr, long a, long b, long c, long d) { return held(s, 0, nr, a, b, c, d); }

static void expect(struct seen *s, const char *what, long got, long want) {
	if (got != want)
		trouble(s, what, got);
}

// waited looks that a wait was not cut short.
static void waited(struct seen *s, long since) {
	long took = now() - since;
	if (took < wait_ns)
		trouble(s, "it waited too short, ns", took);
}

static void sleep_rest(struct seen *s) {
	struct timespec rest = {0, 0};
	long since = now();
	long ret = call(s, SYS_nanosleep, (long)&wait_time, (long)&rest, 0, 0);
	if (ret == -EINTR) { // only who is told how long is left
		if (rest.tv_nsec <= 0 || now() - since + rest.tv_nsec < wait_ns)
			trouble(s, "the rest is wrong", rest.tv_nsec);
		return;
	}
	expect(s, "nanosleep with a rest", ret, 0);
	waited(s, since);
}

static void sleep_blind(struct seen *s) {
	long since = now();
	expect(s, "nanosleep", call(s, SYS_nanosleep, (long)&wait_time, 0, 0, 0), 0);
	waited(s, since);
}

static void sleep_until(struct seen *s) {
	struct timespec until;
	long since = now();
	until.tv_sec = (since + wait_ns) / 1000000000L;
	until.tv_nsec = (since + wait_ns) % 1000000000L;
	expect(s, "clock_nanosleep", call(s, SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, (long)&until, 0), 0);
	waited(s, since);
}

static void poll_timed(struct seen *s) {
	long since = now();
	expect(s, "poll", call(s, SYS_poll, 0, 0, wait_ns / 1000000, 0), 0);
	waited(s, since);
}

static void epoll_timed(struct seen *s) {
	static _Thread_local int fd = -1;
	struct epoll_event event;
	if (fd < 0)
		fd = epoll_create1(0);
	long since = now();
	long ret = call(s, SYS_epoll_wait, fd, (long)&event, 1, wait_ns / 1000000);
	if (ret != -EINTR) { // with every stop, whoever stops
		expect(s, "epoll_wait", ret, 0);
		waited(s, since);
	}
}

static void futex_timed(struct seen *s) {
	static int word;
	long since = now();
	long ret = call(s, SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, (long)&wait_time);
	if (ret != -EINTR) {
		expect(s, "futex", ret, -ETIMEDOUT);
		waited(s, since);
	}
}

static _Atomic int turns;

static void futex_woken(struct seen *s) {
	int turn = turns;
	long ret = call(s, SYS_futex, (long)&turns, FUTEX_WAIT_PRIVATE, turn, 0);
	if (ret != 0 && ret != -EAGAIN)
		trouble(s, "futex", ret);
}

static int ends[2];

static void read_pipe(struct seen *s) {
	static unsigned char next;
	unsigned char got = 0;
	expect(s, "read", call(s, SYS_read, ends[0], (long)&got, 1, 0), 1);
	expect(s, "the byte read", got, next++);
}

// Signals are counted by who gets them and who sends them: none may be lost, and
// none may come where it is masked.
static _Atomic long caught, sent;
static _Atomic int suspended, suspender;
static struct seen *suspends;
static _Thread_local _Atomic int open_mask;

static void on_signal(int n) {
	(void)n;
	if (!open_mask)
		_exit(77);
	suspended = 0; // the next signal waits until its thread does
	caught++;
}

static void check_mask(struct seen *s) {
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	expect(s, "the signal mask", sigismember(&mask, SIGUSR2), 1);
	expect(s, "the signal mask", sigismember(&mask, SIGUSR1), 0);
}

static void suspend(struct seen *s) {
	unsigned long all_open = 0;
	open_mask = 1;
	suspends = s;
	suspended = suspender = gettid();
	expect(s, "sigsuspend", call(s, SYS_rt_sigsuspend, (long)&all_open, 8, 0, 0), -EINTR);
	open_mask = 0;
	check_mask(s);
	expect(s, "signals caught", caught, sent);
}

// is_in tells whether a thread of ours stands in a system call.
static int is_in(int thread, int nr) {
	char name[64], said[16];
	snprintf(name, sizeof name, "/proc/self/task/%d/syscall", thread);
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, said, sizeof said - 1);
	close(fd);
	said[n > 0 ? n : 0] = 0;
	return n > 0 && atoi(said) == nr; // "running" is 0
}

// send_signal sends the next one to who waits for it. The order proves a wait that
// is never to end: with no signal on its way, nothing else takes who was in it out.
static void send_signal(void) {
	if (sent != caught)
		return;
	int waits = is_in(suspender, SYS_rt_sigsuspend);
	pid_t who = suspended;
	if (who == 0 && waits)
		trouble(suspends, "it waits on for a signal that it has caught", sent);
	if (who != 0) {
		sent++;
		syscall(SYS_tgkill, getpid(), who, SIGUSR2);
	}
}

static void ppoll_masked(struct seen *s) {
	unsigned long all_open = 0;
	struct timespec time = wait_time;
	long since = now();
	open_mask = 1;
	expect(s, "ppoll", call(s, SYS_ppoll, 0, 0, (long)&time, (long)&all_open), 0);
	open_mask = 0;
	waited(s, since);
	check_mask(s);
}

static void spin(struct seen *s) { held(s, 1000000, 0, 1, 2, 3, 4); }

static void look(struct seen *s) {
	char version[16] = "none";
	int fd = open("version", O_RDONLY);
	if (fd >= 0) {
		ssize_t n = read(fd, version, sizeof version - 1);
		version[n > 0 ? n : 0] = 0;
		close(fd);
	}
	memcpy(s->version, version, sizeof version);
}

static const struct kind {
	const char *name;
	void (*round)(struct seen *);
} kinds[] = {
	{"sleep-rest", sleep_rest}, {"sleep-blind", sleep_blind}, {"sleep-until", sleep_until}, {"poll", poll_timed},
	{"epoll", epoll_timed}, {"futex-timed", futex_timed}, {"futex", futex_woken}, {"read", read_pipe},
	{"suspend", suspend}, {"ppoll", ppoll_masked}, {"spin", spin},
};

static void *run(void *arg) {
	struct seen *s = arg;
	const struct kind *k = &kinds[s - table];
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	pthread_setname_np(pthread_self(), k->name); // by which tests find it
	if (unshare(CLONE_FS) != 0 || chdir(directory) != 0)
		trouble(s, "unshare and chdir", errno);
	for (;; s->rounds++) {
		look(s);
		k->round(s);
	}
	return NULL;
}

// Arguments: the file for the table, the directory, and the kinds to run ("" for
// those that wait).
int main(int argc, char **argv) {
	size_t n = sizeof kinds / sizeof *kinds, size = n * sizeof(struct seen);
	int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (argc < 3 || fd < 0 || ftruncate(fd, size) != 0 || pipe(ends) != 0 || !__builtin_cpu_supports("avx"))
		return perror("waiter"), 1;
	table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	directory = argv[2];
	signal(SIGUSR2, on_signal);
	for (size_t i = 0; i < n; i++) {
		pthread_t thread;
		if (argc > 3 ? strcmp(argv[3], kinds[i].name) != 0 : strcmp(kinds[i].name, "spin") == 0)
			continue;
		strcpy(table[i].kind, kinds[i].name);
		pthread_create(&thread, NULL, run, &table[i]);
	}
	for (unsigned char next = 0;; next++) {
		usleep(wait_ns / 1000);
		turns++;
		syscall(SYS_futex, &turns, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
		if (write(ends[1], &next, 1) != 1)
			return 1;
		send_signal();
	}
}
