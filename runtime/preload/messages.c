/*
 * Messages of sockets: sendmsg(), recvmsg(), and many of them in a call.
 *
 * What a packet is cannot be cut, and one that is received is lost if a page of the program's is not there in
 * the midst of it. So one that is too large to be held is *carried*: by way of memory of ours, which is not
 * paged, and copied from or to there.
 */
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "transfer.h"

/* A message's address and its control data. */
static void hold_beside(struct held *held, const struct msghdr *message, bool write)
{
    held_add(held, (uintptr_t)message->msg_name, message->msg_namelen, write);
    held_add(held, (uintptr_t)message->msg_control, message->msg_controllen, write);
}

/* What the kernel writes there of one that was received. */
static void copy_back(struct msghdr *message, const struct msghdr *piece)
{
    message->msg_namelen = piece->msg_namelen;
    message->msg_controllen = piece->msg_controllen;
    message->msg_flags = piece->msg_flags;
}

/* ------------------------------------------------------------------ carrying */

static void gather(uint8_t *to, const struct iovec *from, uint64_t count)
{
    for (; count > 0; to += from->iov_len, from++, count--)
        memcpy(to, from->iov_base, from->iov_len);
}

static void scatter(const struct iovec *to, uint64_t count, const uint8_t *from, uint64_t bytes)
{
    for (uint64_t now; count > 0 && bytes > 0; to++, count--, from += now, bytes -= now) {
        now = to->iov_len < bytes ? to->iov_len : bytes;
        memcpy(to->iov_base, from, now);
    }
}

/* The call, with `memory` as its only buffer. */
static long call_with(const struct call *call, const struct form *form, struct iovec memory,
                      struct msghdr *beside)
{
    struct call ours = *call;
    struct msghdr message;
    struct held *held = held_begin();
    long result;

    if (!held)
        return -ENOMEM;
    if (beside) {
        message = *beside;
        message.msg_iov = &memory;
        message.msg_iovlen = 1;
        ours.words[1] = (uintptr_t)&message;
        hold_beside(held, beside, form->write);
    } else {
        ours.number = form->shape == PLAIN ? call->number : form->write ? SYS_read : SYS_write;
        ours.words[form->buffer] = (uintptr_t)memory.iov_base;
        ours.words[form->buffer + 1] = memory.iov_len;
        hold_address(held, call);
    }
    result = held_call(held, ours.number, ours.words);
    held_end(held);
    if (result >= 0 && beside && form->write)
        copy_back(beside, &message);
    return result;
}

long packet_carry(const struct call *call, const struct form *form, const struct iovec *list, uint64_t count,
                  struct msghdr *beside)
{
    uint64_t bytes = list_bytes(list, count);
    size_t room = whole_pages(bytes + 1);
    void *memory = room > bytes ? raw_mmap(NULL, room, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                                : MAP_FAILED;
    long result;

    if (memory == MAP_FAILED)
        return -ENOMEM;
    if (!form->write)
        gather(memory, list, count);
    result = call_with(call, form, (struct iovec){memory, bytes}, beside);
    if (form->write && result > 0)
        scatter(list, count, memory, (uint64_t)result < bytes ? (uint64_t)result : bytes);
    raw_munmap(memory, room);
    return result;
}

/* ------------------------------------------------------------------ one message */

static long make_piece(const struct call *call, const struct form *form, struct msghdr *message,
                       uint64_t done, struct cut_list *list)
{
    struct msghdr piece = *message;
    uint64_t words[6] = {call->words[0], (uintptr_t)&piece, call->words[2]};
    struct held *held = held_begin();
    long result;

    if (!held)
        return -ENOMEM;
    hold_beside(held, message, form->write);
    cut_list(list, message->msg_iov, message->msg_iovlen, done, held, form->write);
    piece.msg_iov = list->pieces;
    piece.msg_iovlen = list->count;
    if (done > 0) { /* what goes with the first byte has gone */
        piece.msg_control = NULL;
        piece.msg_controllen = 0;
    }
    if (held->partly && form->write && end_of(call) == PACKETS) {
        held_end(held);
        return packet_carry(call, form, message->msg_iov, message->msg_iovlen, message);
    }
    result = held_call(held, call->number, words);
    held_end(held);
    if (result >= 0 && form->write && done == 0)
        copy_back(message, &piece);
    return result;
}

long message_make(const struct call *call, const struct form *form)
{
    struct msghdr *message = (struct msghdr *)(uintptr_t)call->words[1];
    struct cut_list list;
    uint64_t done = 0;
    enum end end;
    long result;

    if (!message || message->msg_iovlen > IOV_MAX || (message->msg_iovlen > 0 && !message->msg_iov))
        return gate_make(call->number, call->words);
    end = fits(message->msg_iov, message->msg_iovlen) ? FILES : end_of(call);
    if (end == PACKETS)
        return packet_carry(call, form, message->msg_iov, message->msg_iovlen, message);
    for (;;) {
        result = make_piece(call, form, message, done, &list);
        if (result < 0)
            return done > 0 ? (long)done : result;
        done += (uint64_t)result;
        if (done == list_bytes(message->msg_iov, message->msg_iovlen) || (uint64_t)result < list.bytes ||
            !goes_on(call, form, end))
            return (long)done;
    }
}

/* ------------------------------------------------------------------ many messages */

/* The first, by itself. */
static long carry_first(const struct call *call, const struct form *form, struct mmsghdr *message)
{
    struct call one = {.number = form->write ? SYS_recvmsg : SYS_sendmsg,
                       .words = {call->words[0], 0, call->words[3] & ~(uint64_t)MSG_WAITFORONE}};
    long result =
        packet_carry(&one, form, message->msg_hdr.msg_iov, message->msg_hdr.msg_iovlen, &message->msg_hdr);

    if (result < 0)
        return result;
    message->msg_len = (unsigned)result;
    return 1;
}

static void hold_message(struct held *held, const struct mmsghdr *message, bool write)
{
    const struct msghdr *header = &message->msg_hdr;

    held_add(held, (uintptr_t)message, sizeof(*message), true);
    held_add(held, (uintptr_t)header->msg_iov, header->msg_iovlen * sizeof(struct iovec), false);
    hold_beside(held, header, write);
    for (size_t i = 0; i < header->msg_iovlen; i++)
        held_add(held, (uintptr_t)header->msg_iov[i].iov_base, header->msg_iov[i].iov_len, write);
}

/* As many of them as may be held, and at least one: the caller sees how many there were. */
long messages_make(const struct call *call, const struct form *form)
{
    struct mmsghdr *messages = (struct mmsghdr *)(uintptr_t)call->words[1];
    struct call ours = *call;
    struct held *held;
    uint32_t count = (uint32_t)call->words[2], used = 0;
    long result;

    if (!messages || count == 0)
        return gate_make(call->number, call->words);
    held = held_begin();
    if (!held)
        return -ENOMEM;
    if (call->number == SYS_recvmmsg)
        held_add(held, call->words[4], sizeof(struct timespec), false);
    while (used < count && !held->partly)
        hold_message(held, &messages[used++], form->write);
    if (held->partly && used == 1) {
        held_end(held);
        return carry_first(call, form, messages);
    }
    ours.words[2] = used - held->partly; /* the last was too much */
    result = held_call(held, ours.number, ours.words);
    held_end(held);
    return result;
}
