/*
 * Changing from one stack to another. Callee-saved registers and the stack pointer only: signal
 * mask and floating point modes are the process's, no task changes them (saving MXCSR and the x87
 * word costs a third of the switch).
 */
#ifndef TASK_SWITCH_H
#define TASK_SWITCH_H

#include <stddef.h>

#if defined(SWITCH_UCONTEXT) || !(defined(__x86_64__) || defined(__aarch64__))
#include <ucontext.h>
#define SWITCH_HAS_UCONTEXT 1
#endif

struct switch_context {
#ifdef SWITCH_HAS_UCONTEXT
	ucontext_t context;
#else
	void *stack_pointer;
#endif
	void *stack_low; /* lowest usable address; NULL for the thread's own stack */
	size_t stack_bytes;
	void *sanitizer_fiber; /* TSan's handle, or ASan's saved fake stack */
};

/* The thread's own stack, before the first switch away from it. */
void switch_init_thread(struct switch_context *context);

/* A new context: the first switch to it calls entry(arg), which never returns. */
void switch_init(struct switch_context *context, void *stack_low, size_t stack_bytes,
	void (*entry)(void *), void *arg);

/* Stops the caller in `from` and goes on in `to`. */
void switch_to(struct switch_context *from, struct switch_context *to);

/* As switch_to, for the last time: `from` never runs again. */
void switch_leave(struct switch_context *from, struct switch_context *to);

/* First thing in an entry function: tells the sanitizers that the switch has happened. */
void switch_entered(struct switch_context *self);

/* Gives back what sanitizers hold for a context that has left or was dropped. */
void switch_done(struct switch_context *context);

#endif
