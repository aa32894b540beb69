/*
 * The frame of a signal handler on the user's stack, exactly as Linux lays it out on x86-64 (arch/x86's
 * rt_sigframe; the C libraries, unwinders and debuggers know it).
 *
 *      old rsp   ->  | red zone, 128 bytes: left alone      |
 *                    | floating-point state (XSAVE), 64-byte aligned, then FP_XSTATE_MAGIC2
 *                    | siginfo                              |
 *                    | ucontext                             |
 *      new rsp   ->  | return address: the restorer         |   rsp + 8 is 16-byte aligned
 */
#include <linux/signal.h>

#include <asm/sigcontext.h>
#include <asm/ucontext.h>

#include "kernel/klib.h"
#include "kernel/task/task_internal.h"

enum { RED_ZONE = 128 };

struct signal_frame {
    uint64_t restorer;
    struct ucontext context;
    siginfo_t info;
};
_Static_assert(sizeof(struct ucontext) == 304, "Linux's struct ucontext on x86-64");
_Static_assert(sizeof(struct signal_frame) == 440, "Linux's struct rt_sigframe on x86-64");
/* What the fields of a siginfo take; the rest of its 128 bytes are room for later, and stay as they are. */
enum { INFO_BYTES = offsetof(siginfo_t, _sifields) + sizeof(union __sifields) };
_Static_assert(INFO_BYTES == 48, "Linux's struct kernel_siginfo");
_Static_assert(offsetof(struct _fpstate_64, sw_reserved) == 464, "software bytes of the FXSAVE area");

enum { FLAG_TRAP = 0x100, FLAG_DIRECTION = 0x400, FLAG_RESUME = 0x10000 };
/* What a handler may change: OF DF SF ZF AF PF CF, AC, RF, TF. */
static const uint64_t FLAGS_OF_USER = 0xcd5 | 0x40000 | FLAG_RESUME | FLAG_TRAP;
static const uint64_t USER_ADDRESS_END = (uint64_t)1 << 47;

static bool on_alternate_stack(const struct task *task, uint64_t rsp)
{
    return rsp > task->sigalt_start && rsp - task->sigalt_start <= task->sigalt_bytes;
}

/* Where the frame goes: on the stack in use, or at the top of the alternate one. 0: no room. */
static uint64_t choose_stack(const struct task *task, const struct trap_frame *frame,
                             const struct sigaction *action, uint64_t *fp_at)
{
    bool nested = task->sigalt_bytes && on_alternate_stack(task, frame->rsp);
    bool alternate = (action->sa_flags & SA_ONSTACK) && task->sigalt_bytes && !nested;
    uint64_t at = alternate ? task->sigalt_start + task->sigalt_bytes : frame->rsp - RED_ZONE;

    *fp_at = align_down(at - (fpu_bytes() + FP_XSTATE_MAGIC2_SIZE), 64);
    at = align_down(*fp_at - sizeof(struct signal_frame), 16) - 8;
    if ((alternate || (nested && (action->sa_flags & SA_ONSTACK))) && !on_alternate_stack(task, at))
        return 0;
    return at;
}

static bool write_fp(struct task *task, uint64_t at)
{
    const uint32_t magic2 = FP_XSTATE_MAGIC2;
    struct _fpstate_64 *fp = task->fpu;
    size_t bytes = fpu_bytes();

    fpu_save(task->fpu);
    memset(&fp->sw_reserved, 0, sizeof(fp->sw_reserved));
    if (!cpu_features.xsave)
        return user_write(at, task->fpu, bytes) == 0;
    fp->sw_reserved.magic1 = FP_XSTATE_MAGIC1;
    fp->sw_reserved.extended_size = (uint32_t)(bytes + FP_XSTATE_MAGIC2_SIZE);
    fp->sw_reserved.xfeatures = cpu_features.xcr0;
    fp->sw_reserved.xstate_size = (uint32_t)bytes;
    return user_write(at, task->fpu, bytes) == 0 && user_write(at + bytes, &magic2, sizeof(magic2)) == 0;
}

static void fill_registers(struct sigcontext *to, const struct task *task, const struct trap_frame *frame,
                           sigset_t mask)
{
    to->r8 = frame->r8;
    to->r9 = frame->r9;
    to->r10 = frame->r10;
    to->r11 = frame->r11;
    to->r12 = frame->r12;
    to->r13 = frame->r13;
    to->r14 = frame->r14;
    to->r15 = frame->r15;
    to->rdi = frame->rdi;
    to->rsi = frame->rsi;
    to->rbp = frame->rbp;
    to->rbx = frame->rbx;
    to->rdx = frame->rdx;
    to->rax = frame->rax;
    to->rcx = frame->rcx;
    to->rsp = frame->rsp;
    to->rip = frame->rip;
    to->eflags = frame->rflags;
    to->cs = (uint16_t)frame->cs;
    to->ss = (uint16_t)frame->ss;
    to->gs = 0;
    to->fs = 0;
    to->err = task->fault_error;
    to->trapno = task->fault_vector;
    to->oldmask = mask;
    to->cr2 = task->fault_address;
}

bool signal_frame_push(struct trap_frame *frame, int signo, const siginfo_t *info,
                       const struct sigaction *action, sigset_t mask)
{
    struct task *task = task_current();
    struct signal_frame out;
    uint64_t fp_at, at = choose_stack(task, frame, action, &fp_at);

    if (!at || !(action->sa_flags & SA_RESTORER) || !write_fp(task, fp_at))
        return false;
    out.restorer = (uint64_t)action->sa_restorer;
    out.context.uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (cpu_features.xsave ? UC_FP_XSTATE : 0);
    out.context.uc_link = NULL;
    out.context.uc_stack.ss_sp = (void *)task->sigalt_start;
    out.context.uc_stack.ss_flags = task->sigalt_bytes ? task->sigalt_flags : SS_DISABLE;
    if (task->sigalt_bytes && on_alternate_stack(task, frame->rsp))
        out.context.uc_stack.ss_flags |= SS_ONSTACK;
    out.context.uc_stack.ss_size = task->sigalt_bytes;
    fill_registers(&out.context.uc_mcontext, task, frame, mask);
    out.context.uc_mcontext.fpstate = (struct _fpstate *)fp_at;
    memset(out.context.uc_mcontext.reserved1, 0, sizeof(out.context.uc_mcontext.reserved1));
    out.context.uc_sigmask = mask;
    memcpy(&out.info, info, INFO_BYTES);
    if (user_write(at, &out, offsetof(struct signal_frame, info) + INFO_BYTES) != 0)
        return false;
    if (task->sigalt_flags & (int)SS_AUTODISARM)
        task->sigalt_start = task->sigalt_bytes = 0, task->sigalt_flags = 0;
    frame->rsp = at;
    frame->rip = (uint64_t)action->sa_handler;
    frame->rdi = (uint64_t)signo;
    frame->rsi = at + offsetof(struct signal_frame, info);
    frame->rdx = at + offsetof(struct signal_frame, context);
    frame->rax = 0;
    frame->cs = SEL_USER_CODE;
    frame->ss = SEL_USER_DATA;
    frame->rflags &= ~(uint64_t)(FLAG_DIRECTION | FLAG_RESUME | FLAG_TRAP);
    return frame->rip < USER_ADDRESS_END || (frame->rip = 0, true);
}

/* ---------------------------------------------------------------- back from the handler */

/* The user's floating-point state is loaded: what the CPU would not take is dropped by fpu_restore(). */
static bool read_fp(struct task *task, uint64_t at)
{
    const struct _fpstate_64 *fp = task->fpu;

    if (!at) {
        fpu_init_area(task->fpu);
        fpu_restore(task->fpu);
        return true;
    }
    if (!is_aligned(at, 64) || user_read(task->fpu, at, fpu_bytes()) != 0)
        return false;
    if (cpu_features.xsave && fp->sw_reserved.magic1 != FP_XSTATE_MAGIC1) {
        /* A frame without extended state: only the legacy part counts. */
        struct _header *header = (struct _header *)(void *)((char *)task->fpu + sizeof(*fp));

        memset(header, 0, sizeof(*header));
        header->xfeatures = 3; /* x87, SSE */
    }
    fpu_restore(task->fpu);
    return true;
}

static void restore_registers(struct trap_frame *frame, const struct sigcontext *from)
{
    frame->r8 = from->r8;
    frame->r9 = from->r9;
    frame->r10 = from->r10;
    frame->r11 = from->r11;
    frame->r12 = from->r12;
    frame->r13 = from->r13;
    frame->r14 = from->r14;
    frame->r15 = from->r15;
    frame->rdi = from->rdi;
    frame->rsi = from->rsi;
    frame->rbp = from->rbp;
    frame->rbx = from->rbx;
    frame->rdx = from->rdx;
    frame->rax = from->rax;
    frame->rcx = from->rcx;
    frame->rsp = from->rsp;
    frame->rip = from->rip;
    frame->rflags = (frame->rflags & ~FLAGS_OF_USER) | (from->eflags & FLAGS_OF_USER);
    frame->cs = SEL_USER_CODE;
    frame->ss = SEL_USER_DATA;
    frame->vector = 0; /* no system call to begin again */
}

bool signal_frame_pop(struct trap_frame *frame)
{
    struct task *task = task_current();
    struct ucontext context;
    uint64_t at = frame->rsp - 8 + offsetof(struct signal_frame, context);

    if (user_read(&context, at, sizeof(context)) != 0)
        return false;
    if (context.uc_mcontext.rip >= USER_ADDRESS_END)
        return false;
    if (!read_fp(task, (uint64_t)context.uc_mcontext.fpstate))
        return false;
    restore_registers(frame, &context.uc_mcontext);
    task->sigalt_flags = context.uc_stack.ss_flags & ~(SS_ONSTACK | SS_DISABLE);
    task->sigalt_start = (uint64_t)context.uc_stack.ss_sp;
    task->sigalt_bytes = (context.uc_stack.ss_flags & SS_DISABLE) ? 0 : context.uc_stack.ss_size;
    signal_set_blocked(context.uc_sigmask);
    return true;
}
