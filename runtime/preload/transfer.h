/*
 * What transfer.c and messages.c share: calls that read and write.
 */
#ifndef QUIRE_PRELOAD_TRANSFER_H
#define QUIRE_PRELOAD_TRANSFER_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "gate.h"

enum { MOST_PIECES = 60, NOWHERE = 0xff };

enum shape { NO_SHAPE, PLAIN, VECTOR, MESSAGE, MESSAGES };

struct form {
    uint8_t shape;
    bool write;     /* the kernel writes to memory */
    uint8_t offset; /* the word that says where in the file, or NOWHERE */
    uint8_t buffer; /* the word that is the buffer's address; its length is in the next */
};

/* What is at the other end of the call's descriptor. */
enum end { FILES, STREAM, PACKETS };
enum end end_of(const struct call *call);
/* After a whole piece, is there to be another? */
bool goes_on(const struct call *call, const struct form *form, enum end end);

/* As much of a list as may be held at a time. */
struct cut_list {
    struct iovec pieces[MOST_PIECES];
    uint32_t count;
    uint64_t bytes;
};
/* Without the first `done` bytes; the paged pieces become part of `held`. */
void cut_list(struct cut_list *list, const struct iovec *from, uint64_t count, uint64_t done,
              struct held *held, bool write);
/* It need not be cut. */
bool fits(const struct iovec *from, uint64_t count);
uint64_t list_bytes(const struct iovec *from, uint64_t count);
/* The address of sendto() and recvfrom(). */
void hold_address(struct held *held, const struct call *call);

long message_make(const struct call *call, const struct form *form);
long messages_make(const struct call *call, const struct form *form);
/* The call by way of memory of ours; `beside`: of recvmsg() and sendmsg(), else NULL. */
long packet_carry(const struct call *call, const struct form *form, const struct iovec *list, uint64_t count,
                  struct msghdr *beside);

#endif
