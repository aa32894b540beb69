/*
 * Futexes: sleeping until a word of user memory changes.
 *
 * What a word is called:
 *   private   (space, address)
 *   shared    (object, byte in it), when its page belongs to an object that is mapped shared; a page that is
 *             private all the same is called by (space, address), as nobody else can reach it
 * A waiter is on one of the hash queues, under its word's key. The comparison and the queueing are one step,
 * because kernel code is not preempted; reading the word may sleep (a fault), so it is read before, and
 * looked at again without sleeping.
 */
#include <asm-generic/errno.h>
#include <linux/futex.h>

#include "kernel/linux/syscalls.h"
#include "kernel/task/futex.h"
#include "kernel/task/task_internal.h"

enum { BUCKETS = 32 };

struct key {
    const void *owner; /* space or object */
    uint64_t offset;
};

struct waiter {
    struct list node;
    struct key key;
    struct task *task;
    uint32_t bits;
    bool woken;
};

static struct list buckets[BUCKETS];

static struct list *bucket(const struct key *key)
{
    uint64_t hash = ((uint64_t)key->owner >> 4) ^ (key->offset >> 2);
    struct list *head = &buckets[(hash ^ (hash >> 7)) % BUCKETS];

    if (!head->next)
        list_init(head);
    return head;
}

static bool same(const struct key *a, const struct key *b)
{
    return a->owner == b->owner && a->offset == b->offset;
}

static int key_of(uint64_t address, bool private, struct key *key)
{
    struct space *space = process_current()->space;
    struct frame *frame;
    enum status status;

    if (!is_aligned(address, sizeof(uint32_t)))
        return -EINVAL;
    if (address >= SPACE_END)
        return -EFAULT;
    *key = (struct key){space, address};
    if (private)
        return 0;
    status = space_pin(space, vaddr(address), ACCESS_READ, &frame);
    if (status != ST_OK)
        return status == ST_NO_MEMORY ? -ENOMEM : -EFAULT;
    if ((frame->use == FRAME_FILE || frame->use == FRAME_SHARED) && frame->page.object)
        *key = (struct key){frame->page.object, (frame->page.index << PAGE_SHIFT) | (address & PAGE_MASK)};
    frame_unref(frame);
    return 0;
}

static unsigned wake_key(const struct key *key, unsigned count, uint32_t bits)
{
    unsigned woken = 0;

    list_for_each_safe(node, next, bucket(key))
    {
        struct waiter *waiter = container_of(node, struct waiter, node);

        if (woken == count)
            break;
        if (!same(&waiter->key, key) || !(waiter->bits & bits))
            continue;
        list_remove(&waiter->node);
        waiter->woken = true;
        sched_wake(waiter->task);
        woken++;
    }
    return woken;
}

/* Linux wakes one when asked for none. */
static unsigned wake_count(int64_t value)
{
    return value < 1 ? 1 : (unsigned)value;
}

long futex_wake(uint64_t address, bool private, int64_t count, uint32_t bits)
{
    struct key key;
    int error = bits ? key_of(address, private, &key) : -EINVAL;

    return error ? error : (long)wake_key(&key, wake_count(count), bits);
}

void futex_wake_address(uint64_t address, unsigned count)
{
    struct key key;

    /* Who waits for it may call it private or shared. */
    if (key_of(address, true, &key) == 0 && wake_key(&key, count, FUTEX_BITSET_MATCH_ANY) >= count)
        return;
    if (key_of(address, false, &key) == 0)
        (void)wake_key(&key, count, FUTEX_BITSET_MATCH_ANY);
}

long futex_wait(uint64_t address, bool private, uint32_t expected, uint64_t deadline_ns, uint32_t bits)
{
    struct waiter waiter = {.task = task_current(), .bits = bits};
    uint32_t value;
    int error = bits ? key_of(address, private, &waiter.key) : -EINVAL;

    if (error)
        return error;
    /* A fault in this copy may sleep, but the value is taken at its very end: nothing runs between that and
     * the queueing. */
    if (user_read(&value, address, sizeof(value)) != 0)
        return -EFAULT;
    if (value != expected)
        return -EAGAIN;
    list_push_back(bucket(&waiter.key), &waiter.node);
    waiter.task->woken = false;
    while (!waiter.woken && !error)
        error = sched_sleep(deadline_ns, SLEEP_INTERRUPTIBLE);
    if (waiter.woken)
        return 0;
    list_remove(&waiter.node);
    return error;
}

/* Wake some who wait for one word, let others wait for another one instead. */
long futex_requeue(uint64_t address, uint64_t address2, bool private, int64_t wake, int64_t move,
                   const uint32_t *expected)
{
    struct key from, to;
    unsigned woken, moved = 0;
    uint32_t value;
    int error;

    if (wake < 0 || move < 0)
        return -EINVAL;
    error = key_of(address, private, &from);
    if (!error)
        error = key_of(address2, private, &to);
    if (error)
        return error;
    if (expected) {
        if (user_read(&value, address, sizeof(value)) != 0)
            return -EFAULT;
        if (value != *expected)
            return -EAGAIN;
    }
    woken = wake ? wake_key(&from, (unsigned)wake, FUTEX_BITSET_MATCH_ANY) : 0;
    list_for_each_safe(node, next, bucket(&from))
    {
        struct waiter *waiter = container_of(node, struct waiter, node);

        if (moved == (unsigned)move)
            break;
        if (!same(&waiter->key, &from))
            continue;
        list_remove(&waiter->node);
        waiter->key = to;
        list_push_back(bucket(&to), &waiter->node);
        moved++;
    }
    return expected ? (long)woken + moved : (long)woken;
}

/* ---------------------------------------------------------------- operations on the second word */

static int32_t sign_extend_12(uint32_t value)
{
    return (int32_t)(value << 20) >> 20;
}

static int operate(uint32_t operation, uint32_t old, uint32_t *result)
{
    uint32_t argument = (uint32_t)sign_extend_12(operation >> 12 & 0xfff);
    uint32_t kind = operation >> 28 & 7;

    if (operation >> 28 & FUTEX_OP_OPARG_SHIFT)
        argument = 1u << (argument & 31);
    switch (kind) {
    case FUTEX_OP_SET:
        *result = argument;
        return 0;
    case FUTEX_OP_ADD:
        *result = old + argument;
        return 0;
    case FUTEX_OP_OR:
        *result = old | argument;
        return 0;
    case FUTEX_OP_ANDN:
        *result = old & ~argument;
        return 0;
    case FUTEX_OP_XOR:
        *result = old ^ argument;
        return 0;
    default:
        return -ENOSYS;
    }
}

static int compare(uint32_t operation, uint32_t old_bits, bool *holds)
{
    int32_t old = (int32_t)old_bits, argument = sign_extend_12(operation & 0xfff);

    switch (operation >> 24 & 15) {
    case FUTEX_OP_CMP_EQ:
        *holds = old == argument;
        return 0;
    case FUTEX_OP_CMP_NE:
        *holds = old != argument;
        return 0;
    case FUTEX_OP_CMP_LT:
        *holds = old < argument;
        return 0;
    case FUTEX_OP_CMP_LE:
        *holds = old <= argument;
        return 0;
    case FUTEX_OP_CMP_GT:
        *holds = old > argument;
        return 0;
    case FUTEX_OP_CMP_GE:
        *holds = old >= argument;
        return 0;
    default:
        return -ENOSYS;
    }
}

long futex_wake_op(uint64_t address, uint64_t address2, bool private, int64_t wake, int64_t wake2,
                   uint32_t operation)
{
    struct key key, key2;
    uint32_t old, changed;
    bool holds;
    long woken;
    int error = key_of(address, private, &key);

    if (!error)
        error = key_of(address2, private, &key2);
    if (error)
        return error;
    /* After the write the page is there and writable, so that the second round cannot sleep. */
    for (int round = 0; round < 2; round++) {
        if (user_read(&old, address2, sizeof(old)) != 0)
            return -EFAULT;
        error = round ? operate(operation, old, &changed) : 0;
        if (error)
            return error;
        if (user_write(address2, round ? &changed : &old, sizeof(old)) != 0)
            return -EFAULT;
    }
    woken = (long)wake_key(&key, wake_count(wake), FUTEX_BITSET_MATCH_ANY);
    error = compare(operation, old, &holds);
    if (error)
        return error;
    if (holds)
        woken += (long)wake_key(&key2, wake_count(wake2), FUTEX_BITSET_MATCH_ANY);
    return woken;
}

/* ---------------------------------------------------------------- robust lists */

/* A lock that the thread held when it ended: the next owner is told so. */
static void robust_release(uint64_t address, int tid, bool pending)
{
    uint32_t value, ended;

    if (!is_aligned(address, sizeof(uint32_t)) || user_read(&value, address, sizeof(value)) != 0)
        return;
    if (pending && value == 0) { /* between the unlock and the wake-up */
        futex_wake_address(address, 1);
        return;
    }
    if ((value & FUTEX_TID_MASK) != (uint32_t)tid)
        return;
    ended = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    if (user_write(address, &ended, sizeof(ended)) == 0 && (value & FUTEX_WAITERS))
        futex_wake_address(address, 1);
}

void futex_robust_exit(struct task *task)
{
    struct robust_list_head head;
    uint64_t entry, next, pending;

    if (!task->robust_list || user_read(&head, task->robust_list, sizeof(head)) != 0)
        return;
    pending = (uint64_t)head.list_op_pending & ~(uint64_t)1;
    entry = (uint64_t)head.list.next;
    for (unsigned i = 0; i < ROBUST_LIST_LIMIT && (entry & ~(uint64_t)1) != task->robust_list; i++) {
        uint64_t at = entry & ~(uint64_t)1; /* bit 0: a lock with priority inheritance */

        if (user_read(&next, at, sizeof(next)) != 0)
            return;
        if (at != pending)
            robust_release(at + (uint64_t)head.futex_offset, task->tid, false);
        entry = next;
    }
    if (pending)
        robust_release(pending + (uint64_t)head.futex_offset, task->tid, true);
}
