/*
 * Reads and writes. What is larger than a call may hold goes in pieces, where nobody can tell:
 *
 *      files, block devices     piece after piece, until one is short
 *      streams (sockets, pipes, terminals)  reads: one piece, as if no more had been there (with MSG_WAITALL:
 *                               all); writes: all pieces
 *      packets (other sockets)  never: by way of memory of ours (messages.c)
 *
 * A write of several pieces to a file with O_APPEND, or to a pipe, is not one with regard to other writers.
 *
 * The pieces of vectored calls and of messages are in memory of ours, so theirs may be cut.
 */
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "transfer.h"

static struct form form_of(long number)
{
    switch (number) {
    case SYS_read:
        return (struct form){PLAIN, true, NOWHERE, 1};
    case SYS_write:
        return (struct form){PLAIN, false, NOWHERE, 1};
    case SYS_pread64:
        return (struct form){PLAIN, true, 3, 1};
    case SYS_pwrite64:
        return (struct form){PLAIN, false, 3, 1};
    case SYS_recvfrom:
        return (struct form){PLAIN, true, NOWHERE, 1};
    case SYS_sendto:
        return (struct form){PLAIN, false, NOWHERE, 1};
    case SYS_getrandom:
        return (struct form){PLAIN, true, NOWHERE, 0};
    case SYS_readv:
        return (struct form){VECTOR, true, NOWHERE, 1};
    case SYS_writev:
        return (struct form){VECTOR, false, NOWHERE, 1};
    case SYS_preadv:
    case SYS_preadv2:
        return (struct form){VECTOR, true, 3, 1};
    case SYS_pwritev:
    case SYS_pwritev2:
        return (struct form){VECTOR, false, 3, 1};
    case SYS_recvmsg:
        return (struct form){MESSAGE, true, NOWHERE, 1};
    case SYS_sendmsg:
        return (struct form){MESSAGE, false, NOWHERE, 1};
    case SYS_recvmmsg:
        return (struct form){MESSAGES, true, NOWHERE, 1};
    case SYS_sendmmsg:
        return (struct form){MESSAGES, false, NOWHERE, 1};
    default:
        return (struct form){NO_SHAPE, false, NOWHERE, 0};
    }
}

bool transfer_is(long number)
{
    return form_of(number).shape != NO_SHAPE;
}

uint8_t transfer_words(long number)
{
    struct form form = form_of(number);

    if (form.shape == NO_SHAPE)
        return 0;
    if (form.shape != PLAIN)
        return UINT8_MAX;
    return (uint8_t)(1 << form.buffer |
                     (number == SYS_recvfrom || number == SYS_sendto ? 1 << 4 | 1 << 5 : 0));
}

/* ------------------------------------------------------------------ what is at the other end */

/* By calls that leave errno alone: a read that succeeds does, too. */
enum end end_of(const struct call *call)
{
    int type = 0;
    socklen_t bytes = sizeof(type);
    struct stat stat;
    const uint64_t socket[6] = {call->words[0], SOL_SOCKET, SO_TYPE, (uintptr_t)&type, (uintptr_t)&bytes},
                   file[6] = {call->words[0], (uintptr_t)&stat};

    if (call->number == SYS_getrandom)
        return FILES;
    if (gate_make(SYS_getsockopt, socket) == 0)
        return type == SOCK_STREAM ? STREAM : PACKETS;
    return gate_make(SYS_fstat, file) == 0 && (S_ISREG(stat.st_mode) || S_ISBLK(stat.st_mode)) ? FILES
                                                                                               : STREAM;
}

static bool waits_for_all(const struct call *call)
{
    return (call->number == SYS_recvfrom && (call->words[3] & MSG_WAITALL)) ||
           (call->number == SYS_recvmsg && (call->words[2] & MSG_WAITALL));
}

bool goes_on(const struct call *call, const struct form *form, enum end end)
{
    return end == FILES || !form->write || waits_for_all(call);
}

/* A short result ends it; but not of a file, if the kernel may have met a page that had gone again. */
static bool is_over(const struct call *call, uint64_t result, uint64_t wanted, bool partly)
{
    return result == 0 || (result < wanted && !(partly && end_of(call) == FILES));
}

/* A packet that is being received is lost when a page of it is not there. */
static bool is_at_risk(const struct held *held, const struct call *call, const struct form *form)
{
    return held->partly && form->write && end_of(call) == PACKETS;
}

/* ------------------------------------------------------------------ one buffer */

void hold_address(struct held *held, const struct call *call)
{
    if (call->number == SYS_sendto)
        held_add(held, call->words[4], call->words[5], false);
    if (call->number != SYS_recvfrom || !call->words[4] || !call->words[5])
        return;
    held_add(held, call->words[5], sizeof(socklen_t), true);
    held_add(held, call->words[4], *(const socklen_t *)(uintptr_t)call->words[5], true);
}

static long carry_plain(const struct call *call, const struct form *form)
{
    struct iovec all = {(void *)(uintptr_t)call->words[form->buffer], call->words[form->buffer + 1]};

    return packet_carry(call, form, &all, 1, NULL);
}

/* *partly: a short result need not be all that there was. */
static long make_piece(const struct call *call, const struct form *form, uint64_t done, uint64_t bytes,
                       bool *partly)
{
    struct call piece = *call;
    struct held *held = held_begin();
    long result;

    piece.words[form->buffer] += done;
    piece.words[form->buffer + 1] = bytes;
    if (form->offset != NOWHERE)
        piece.words[form->offset] += done;
    if (!held)
        return -ENOMEM;
    hold_address(held, call);
    held_add(held, piece.words[form->buffer], bytes, form->write);
    if (is_at_risk(held, call, form)) {
        held_end(held);
        return carry_plain(call, form);
    }
    result = held_call(held, piece.number, piece.words);
    *partly = held->partly;
    held_end(held);
    return result;
}

/* Up to the end of a page, but for the last. */
static uint64_t cut(uint64_t address, uint64_t bytes)
{
    uint64_t most = held_most_bytes - (address & PAGE_MASK);

    return bytes < most ? bytes : most;
}

static long make_plain(const struct call *call, const struct form *form)
{
    uint64_t length = call->words[form->buffer + 1], done = 0, bytes;
    uint64_t address = call->words[form->buffer];
    enum end end = FILES;
    bool partly = false;
    long result;

    bytes = reaches_paged(address) ? cut(address, length) : length;
    if (bytes < length && (end = end_of(call)) == PACKETS)
        return carry_plain(call, form);
    for (;;) {
        result = make_piece(call, form, done, bytes, &partly);
        if (result < 0)
            return done > 0 ? (long)done : result;
        done += (uint64_t)result;
        if (is_over(call, (uint64_t)result, bytes, partly) || done == length || !goes_on(call, form, end))
            return (long)done;
        bytes = cut(address + done, length - done);
    }
}

/* ------------------------------------------------------------------ several buffers */

void cut_list(struct cut_list *list, const struct iovec *from, uint64_t count, uint64_t done,
              struct held *held, bool write)
{
    uint64_t left = held_most_bytes;

    list->count = 0;
    list->bytes = 0;
    for (; count > 0 && done >= from->iov_len; from++, count--)
        done -= from->iov_len;
    for (; count > 0 && list->count < MOST_PIECES && left > PAGE_SIZE; from++, count--, done = 0) {
        struct iovec piece = {(char *)from->iov_base + done, from->iov_len - done};
        uint64_t slack = (uintptr_t)piece.iov_base & PAGE_MASK, pages;

        if (reaches_paged((uintptr_t)piece.iov_base)) {
            if (piece.iov_len > left - slack)
                piece.iov_len = left - slack;
            held_add(held, (uintptr_t)piece.iov_base, piece.iov_len, write);
            pages = (slack + piece.iov_len + PAGE_MASK) & ~(uint64_t)PAGE_MASK;
            left -= pages < left ? pages : left;
        }
        list->pieces[list->count++] = piece;
        list->bytes += piece.iov_len;
        if (piece.iov_len < from->iov_len - done)
            break;
    }
}

uint64_t list_bytes(const struct iovec *from, uint64_t count)
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < count; i++)
        bytes += from[i].iov_len;
    return bytes;
}

static long make_vector_piece(const struct call *call, const struct form *form, uint64_t done,
                              struct cut_list *list, bool *partly)
{
    const struct iovec *from = (const struct iovec *)(uintptr_t)call->words[form->buffer];
    struct call piece = *call;
    struct held *held = held_begin();
    long result;

    if (!held)
        return -ENOMEM;
    cut_list(list, from, call->words[form->buffer + 1], done, held, form->write);
    piece.words[form->buffer] = (uintptr_t)list->pieces;
    piece.words[form->buffer + 1] = list->count;
    if (form->offset != NOWHERE && (int64_t)piece.words[form->offset] >= 0)
        piece.words[form->offset] += done;
    if (is_at_risk(held, call, form)) {
        held_end(held);
        *partly = false;
        return packet_carry(call, form, from, call->words[form->buffer + 1], NULL);
    }
    result = held_call(held, piece.number, piece.words);
    *partly = held->partly;
    held_end(held);
    return result;
}

bool fits(const struct iovec *from, uint64_t count)
{
    uint64_t pages = 0;

    for (uint64_t i = 0; i < count; i++)
        pages += (from[i].iov_len + 2 * PAGE_SIZE - 1) / PAGE_SIZE;
    return count <= MOST_PIECES && pages <= held_most_bytes / PAGE_SIZE;
}

static bool any_paged(const struct iovec *from, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (reaches_paged((uintptr_t)from[i].iov_base))
            return true;
    return false;
}

static long make_vector(const struct call *call, const struct form *form)
{
    const struct iovec *from = (const struct iovec *)(uintptr_t)call->words[form->buffer];
    uint64_t count = call->words[form->buffer + 1], done = 0;
    struct cut_list list;
    bool partly;
    enum end end;
    long result;

    if (!from || count > IOV_MAX || (!any_paged(from, count) && !reaches_paged(call->words[form->buffer])))
        return gate_make(call->number, call->words);
    end = fits(from, count) ? FILES : end_of(call);
    if (end == PACKETS)
        return packet_carry(call, form, from, count, NULL);
    for (;;) {
        result = make_vector_piece(call, form, done, &list, &partly);
        if (result < 0)
            return done > 0 ? (long)done : result;
        done += (uint64_t)result;
        if (is_over(call, (uint64_t)result, list.bytes, partly) || done == list_bytes(from, count) ||
            !goes_on(call, form, end))
            return (long)done;
    }
}

long transfer_make(const struct call *call)
{
    struct form form = form_of(call->number);

    switch (form.shape) {
    case PLAIN:
        return make_plain(call, &form);
    case VECTOR:
        return make_vector(call, &form);
    case MESSAGE:
        return message_make(call, &form);
    default:
        return messages_make(call, &form);
    }
}
