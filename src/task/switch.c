/*
 * The stack switch: assembly for x86-64 (System V) and aarch64 (AAPCS64), ucontext elsewhere (or
 * with -DSWITCH_UCONTEXT, which switch_test.c uses). A new stack is laid out as if it had been left
 * by a switch whose return address is the trampoline; behind the trampoline lies a zero return
 * address, so that debuggers end their backtraces there.
 *
 * AddressSanitizer and ThreadSanitizer are told of each change; without that they take a switch for
 * a stack overflow or a data race.
 */
#include "task/switch.h"

#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define SWITCH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SWITCH_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define SWITCH_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SWITCH_TSAN 1
#endif

#ifdef SWITCH_ASAN
#include <pthread.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SWITCH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifdef SWITCH_HAS_UCONTEXT
static void
switch_trampoline(unsigned entry_high, unsigned entry_low, unsigned arg_high, unsigned arg_low)
{
	uintptr_t entry = (uintptr_t)((uint64_t)entry_high << 32 | entry_low);
	uintptr_t arg = (uintptr_t)((uint64_t)arg_high << 32 | arg_low);

	((void (*)(void *))entry)((void *)arg);
}

static void
switch_lay_out(struct switch_context *context, void (*entry)(void *), void *arg)
{
	uint64_t entry_bits = (uintptr_t)entry, arg_bits = (uintptr_t)arg;

	getcontext(&context->context);
	context->context.uc_stack.ss_sp = context->stack_low;
	context->context.uc_stack.ss_size = context->stack_bytes;
	context->context.uc_link = NULL;
	makecontext(&context->context, (void (*)(void))switch_trampoline, 4,
		(unsigned)(entry_bits >> 32), (unsigned)entry_bits, (unsigned)(arg_bits >> 32),
		(unsigned)arg_bits);
}

static void
switch_registers(struct switch_context *from, struct switch_context *to)
{
	swapcontext(&from->context, &to->context);
}

#else
void switch_stacks(void **save_stack_pointer, void *load_stack_pointer);
void switch_trampoline(void);

#if defined(__x86_64__)
#define SWITCH_SAVED_WORDS 6
enum { SAVED_R15, SAVED_R14, SAVED_R13, SAVED_R12, SAVED_RBX, SAVED_RBP, SAVED_RETURN, SAVED_END };

/* entry in r12, arg in r13 */
__asm__(".text\n"
	".p2align 4\n"
	".globl switch_stacks\n"
	".hidden switch_stacks\n"
	".type switch_stacks,@function\n"
	"switch_stacks:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size switch_stacks,.-switch_stacks\n"
	".p2align 4\n"
	".globl switch_trampoline\n"
	".hidden switch_trampoline\n"
	".type switch_trampoline,@function\n"
	"switch_trampoline:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined rip\n"
	"	movq %r13, %rdi\n"
	"	xorl %ebp, %ebp\n"
	"	callq *%r12\n"
	"	ud2\n"
	"	.cfi_endproc\n"
	".size switch_trampoline,.-switch_trampoline\n");

static void
switch_lay_out(struct switch_context *context, void (*entry)(void *), void *arg)
{
	/* UNSAFE: the stack's own words, below its aligned top; two zero words end every backtrace
	 */
	uintptr_t top = ((uintptr_t)context->stack_low + context->stack_bytes) & ~(uintptr_t)15;
	uint64_t *words = (uint64_t *)top - 2 - SAVED_END;

	memset(words, 0, (SAVED_END + 2) * sizeof *words);
	words[SAVED_R12] = (uintptr_t)entry;
	words[SAVED_R13] = (uintptr_t)arg;
	words[SAVED_RETURN] = (uintptr_t)switch_trampoline;
	context->stack_pointer = words;
}

#else /* aarch64: x19-x28, x29, x30, d8-d15 */
#define SAVED_BYTES 160

__asm__(".text\n"
	".p2align 4\n"
	".globl switch_stacks\n"
	".hidden switch_stacks\n"
	".type switch_stacks,%function\n"
	"switch_stacks:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size switch_stacks,.-switch_stacks\n"
	".p2align 4\n"
	".globl switch_trampoline\n"
	".hidden switch_trampoline\n"
	".type switch_trampoline,%function\n"
	"switch_trampoline:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined x30\n"
	"	mov x0, x20\n"
	"	mov x29, xzr\n"
	"	mov x30, xzr\n"
	"	blr x19\n"
	"	brk #0\n"
	"	.cfi_endproc\n"
	".size switch_trampoline,.-switch_trampoline\n");

static void
switch_lay_out(struct switch_context *context, void (*entry)(void *), void *arg)
{
	/* UNSAFE: the stack's own words, below its aligned top */
	uintptr_t top = ((uintptr_t)context->stack_low + context->stack_bytes) & ~(uintptr_t)15;
	uint64_t *words = (uint64_t *)(top - SAVED_BYTES);

	memset(words, 0, SAVED_BYTES);
	words[0] = (uintptr_t)entry;              /* x19 */
	words[1] = (uintptr_t)arg;                /* x20 */
	words[11] = (uintptr_t)switch_trampoline; /* x30 */
	context->stack_pointer = words;
}
#endif

static void
switch_registers(struct switch_context *from, struct switch_context *to)
{
	switch_stacks(&from->stack_pointer, to->stack_pointer);
}
#endif

void
switch_init_thread(struct switch_context *context)
{
	memset(context, 0, sizeof *context);
#ifdef SWITCH_ASAN
	pthread_attr_t attributes;

	if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
		pthread_attr_getstack(&attributes, &context->stack_low, &context->stack_bytes);
		pthread_attr_destroy(&attributes);
	}
#endif
#ifdef SWITCH_TSAN
	context->sanitizer_fiber = __tsan_get_current_fiber();
#endif
}

void
switch_init(struct switch_context *context, void *stack_low, size_t stack_bytes,
	void (*entry)(void *), void *arg)
{
	memset(context, 0, sizeof *context);
	context->stack_low = stack_low;
	context->stack_bytes = stack_bytes;
	switch_lay_out(context, entry, arg);
#ifdef SWITCH_TSAN
	context->sanitizer_fiber = __tsan_create_fiber(0);
#endif
}

void
switch_to(struct switch_context *from, struct switch_context *to)
{
#ifdef SWITCH_ASAN
	__sanitizer_start_switch_fiber(&from->sanitizer_fiber, to->stack_low, to->stack_bytes);
#endif
#ifdef SWITCH_TSAN
	__tsan_switch_to_fiber(to->sanitizer_fiber, 0);
#endif
	switch_registers(from, to);
	switch_entered(from);
}

void
switch_leave(struct switch_context *from, struct switch_context *to)
{
#ifdef SWITCH_ASAN
	__sanitizer_start_switch_fiber(NULL, to->stack_low, to->stack_bytes);
#endif
#ifdef SWITCH_TSAN
	__tsan_switch_to_fiber(to->sanitizer_fiber, 0);
#endif
	switch_registers(from, to);
}

void
switch_entered(struct switch_context *self)
{
#ifdef SWITCH_ASAN
	__sanitizer_finish_switch_fiber(self->sanitizer_fiber, NULL, NULL);
#else
	(void)self;
#endif
}

void
switch_done(struct switch_context *context)
{
#ifdef SWITCH_TSAN
	if (context->sanitizer_fiber)
		__tsan_destroy_fiber(context->sanitizer_fiber);
#endif
	context->sanitizer_fiber = NULL;
}
