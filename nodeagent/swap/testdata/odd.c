// Odd is a process that is hard to move, in one of many ways: its first argument.
// Once it is ready, /share/odd says so.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/epoll.h>
#include <poll.h>
#include <ucontext.h>
#include <unistd.h>

static void must(int failed, const char *what) {
	if (failed) {
		perror(what);
		exit(1);
	}
}

static int ready_fd;

static void ready(void) { must(write(ready_fd, "ready", 5) != 5, "ready"); }

static void *wait_forever(void *arg) {
	if (arg != NULL)
		ready();
	for (;;)
		pause();
	return NULL;
}

// touch uses the stack down to its end.
static int __attribute__((noinline)) touch(int depth) {
	volatile char here[4096];
	memset((void *)here, depth, sizeof here);
	return depth == 0 ? here[0] : touch(depth - 1) + here[1];
}

static void filter(void) {
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_chdir, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges");
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "filter");
}

static void fork_forever(size_t megabytes) {
	char *memory = mmap(NULL, megabytes << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(memory == MAP_FAILED, "memory");
	memset(memory, 1, megabytes << 20);
	ready();
	for (;;) {
		pid_t child = fork();
		must(child < 0, "fork");
		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
}

// slow_fork forks where the kernel has to wait once it has copied the root: it
// makes room for the child's descriptor, and another thread uses the same ones.
static void slow_fork(void) {
	pthread_t thread;
	must(pthread_create(&thread, NULL, wait_forever, NULL), "thread");
	for (int room = 64; room <= 512; room *= 2) {
		int descriptor;
		while (dup(0) < room - 1)
			;
		pid_t child = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &descriptor, NULL, NULL);
		must(child < 0, "clone");
		if (child == 0) {
			usleep(200000);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	_exit(0);
}

static void fork_slowly(int at_once) {
	while (--at_once > 0 && fork() > 0)
		;
	if (at_once == 0)
		ready();
	for (;;) {
		pid_t child = fork();
		must(child < 0, "fork");
		if (child == 0)
			slow_fork();
		waitpid(child, NULL, 0);
	}
}

static void on_another_stack(void) {
	static ucontext_t first, second;
	size_t size = 1 << 20;
	getcontext(&second);
	second.uc_stack.ss_sp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	second.uc_stack.ss_size = size;
	makecontext(&second, (void (*)(void))wait_forever, 1, &ready_fd);
	swapcontext(&first, &second);
}

static volatile sig_atomic_t caught;

static void on_signal(int n) {
	(void)n;
	caught++;
}

// answer makes a call that only a signal ends, again and again, and says how many
// signals it got and how many calls came back.
static void answer(const char *call) {
	struct sigaction action = {.sa_handler = on_signal}; // no SA_RESTART
	struct epoll_event event;
	sigset_t open, blocked;
	int epoll = epoll_create1(0);
	sigemptyset(&open);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	must(sigaction(SIGUSR1, &action, NULL) || (strcmp(call, "pause") && sigprocmask(SIG_BLOCK, &blocked, NULL)), "signals");
	for (int back = 0;; back++) {
		int before = caught;
		must(dprintf(ready_fd, "%d caught, %d back\n", (int)caught, back) < 0, "say");
		if (!strcmp(call, "sigsuspend"))
			sigsuspend(&open);
		else if (!strcmp(call, "ppoll"))
			ppoll(NULL, 0, NULL, &open);
		else if (!strcmp(call, "pselect"))
			pselect(0, NULL, NULL, NULL, NULL, &open);
		else if (!strcmp(call, "epoll_pwait")) // comes back from every stop
			while (caught == before)
				epoll_pwait(epoll, &event, 1, -1, &open);
		else
			pause();
	}
}

int main(int argc, char **argv) {
	const char *how = argv[1], *directory = argv[2];
	pthread_t thread;
	ready_fd = open("/share/odd", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	must(argc < 3 || ready_fd < 0 || chdir(directory), "start");
	if (!strcmp(how, "chroot"))
		must(chroot(directory), how);
	else if (!strcmp(how, "namespace"))
		must(unshare(CLONE_NEWNS), how);
	else if (!strcmp(how, "filter"))
		filter();
	else if (!strcmp(how, "user"))
		must(setgid(1000) || setuid(1000), how);
	else if (!strcmp(how, "answer"))
		answer(argv[3]);
	else if (!strcmp(how, "deep"))
		touch(200);
	else if (!strcmp(how, "elsewhere") && touch(200) < 1 << 20)
		on_another_stack();
	else if (!strcmp(how, "forker"))
		fork_forever(atoi(argv[3]));
	else if (!strcmp(how, "slow-forker"))
		fork_slowly(atoi(argv[3]));
	else if (!strcmp(how, "stopped")) {
		ready();
		raise(SIGSTOP);
	} else if (!strcmp(how, "threads"))
		for (int i = atoi(argv[3]); i > 0; i--)
			must(pthread_create(&thread, NULL, wait_forever, NULL), how);
	else if (!strcmp(how, "headless")) { // the first thread ends, another lives
		must(pthread_create(&thread, NULL, wait_forever, &ready_fd), how);
		pthread_exit(NULL);
	} else if (!strcmp(how, "vfork") && vfork() == 0)
		wait_forever(&ready_fd);
	wait_forever(&ready_fd);
}
