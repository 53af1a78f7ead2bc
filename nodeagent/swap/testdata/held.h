// What a thread of the waiter says, and how it looks that a system call leaves
// its registers and its stack alone.
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// seen is what one thread has to say; tests know its layout.
struct seen {
	char kind[16];
	char version[16];  // as its working directory has it
	char trouble[88];  // the first
	long rounds;
};

static void trouble(struct seen *s, const char *what, long value) {
	if (s->trouble[0] == 0)
		snprintf(s->trouble, sizeof s->trouble, "round %ld: %s (%ld)", s->rounds, what, value);
}

// held makes a system call with all registers full, and what the ABI promises
// below the stack; spin is a number of rounds to run instead.
static long held(struct seen *s, long spin, long nr, long a, long b, long c, long d) {
	static _Thread_local unsigned char vectors[2][16 * 32], zone[2][128]; // before and after
	unsigned control = 0x1f80 | 0x6000, after = 0;                        // round to zero
	for (size_t i = 0; i < sizeof vectors[0]; i++)
		vectors[0][i] = rand();
	for (size_t i = 0; i < sizeof zone[0]; i++)
		zone[0][i] = rand();
	unsigned before = _mm_getcsr();
	_mm_setcsr(control);
	long ret = nr, a2 = a, b2 = b, c2 = c;
	register long d2 __asm__("r10") = d;
	register long size __asm__("r8") = 8; // of a signal mask
	register void *below __asm__("r12") = zone;
	register long spins __asm__("r13") = spin;
	__asm__ volatile(
		".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu 32*\\n(%%rbx),%%ymm\\n\n .endr\n"
		".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n mov 128-8*\\n(%%r12),%%r11\n mov %%r11,-8*\\n(%%rsp)\n .endr\n"
		"test %%r13,%%r13\n jz 2f\n 1: dec %%r13\n jnz 1b\n jmp 3f\n 2: syscall\n 3:\n"
		".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu %%ymm\\n,512+32*\\n(%%rbx)\n .endr\n"
		".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n mov -8*\\n(%%rsp),%%r11\n mov %%r11,256-8*\\n(%%r12)\n .endr\n"
		: "+a"(ret), "+D"(a2), "+S"(b2), "+d"(c2), "+r"(d2), "+r"(spins)
		: "b"(vectors), "r"(below), "r"(size)
		: "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
		  "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
	after = _mm_getcsr();
	_mm_setcsr(before);
	if (memcmp(vectors[0], vectors[1], sizeof vectors[0]) != 0)
		trouble(s, "vector registers changed", nr);
	if (memcmp(zone[0], zone[1], sizeof zone[0]) != 0)
		trouble(s, "the stack changed", nr);
	if ((after & ~0x3f) != control)
		trouble(s, "the floating point control changed", after);
	if (a2 != a || b2 != b || c2 != c || d2 != d)
		trouble(s, "arguments changed", nr);
	return ret;
}
