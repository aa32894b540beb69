/*
 * 9P2000.L over virtio.
 *
 * The messages are those of 9P2000 (Plan 9 manual, section 5) with the Linux extension as described in the
 * diod project's protocol.md; numbers are little-endian, strings are a 16-bit length and bytes:
 *
 *     size[4] type[1] tag[2] ...            the reply's type is one more, or 7: an error number follows
 *
 * Virtio 9P (drivers and devices agree on this): one queue; a request is the message for the device to read,
 * then the room for its reply. Data of reads and writes is never copied here: the frames themselves are
 * pieces of the request.
 *
 *     read:   [message] | [11 bytes: header, count] [frame] [frame] ...
 *     write:  [message] [frame] [frame] ... | [reply]
 *
 * A reply with an error is 11 bytes too, so it never reaches into the frames of a read.
 *
 * A fid may be clunked while other calls use it. Not before they have ended: a server may look a fid up late.
 * p9_clunk() waits until no call sits between its beginning, when it was given the fid's number, and the
 * place where its request tells that number; and leaves the rest to the last call that uses the fid.
 *
 * Invariants: a tag belongs to one request as long as the device may have it; a request's frames are not let
 * go before the device has answered or has been reset.
 */
#include "kernel/dev/p9.h"

#include <asm-generic/errno.h>
#include <linux/virtio_9p.h>

#include "base/check.h"
#include "kernel/dev/virtio.h"
#include "kernel/klib.h"
#include "quire/slab.h"

enum message {
    P9_RLERROR = 7,
    P9_TSTATFS = 8,
    P9_TLOPEN = 12,
    P9_TLCREATE = 14,
    P9_TSYMLINK = 16,
    P9_TMKNOD = 18,
    P9_TREADLINK = 22,
    P9_TGETATTR = 24,
    P9_TSETATTR = 26,
    P9_TREADDIR = 40,
    P9_TFSYNC = 50,
    P9_TLINK = 70,
    P9_TMKDIR = 72,
    P9_TRENAMEAT = 74,
    P9_TUNLINKAT = 76,
    P9_TVERSION = 100,
    P9_TATTACH = 104,
    P9_TWALK = 110,
    P9_TREAD = 116,
    P9_TWRITE = 118,
    P9_TCLUNK = 120
};

enum {
    HEADER_BYTES = 7,
    DATA_HEADER_BYTES = 11, /* of a reply that carries data: header, count */
    MESSAGE_BYTES = 608,    /* two names and what goes with them */
    REPLY_BYTES = 176,      /* the longest is getattr's, 160 */
    REQUESTS_MAX = 64,
    REQUESTS_FIRST = 2, /* always there */
    REQUESTS_KEPT = 6,
    DETACHED_MAX = 4,
    QUEUE_SIZE = 128,
    PIECES_MAX = P9_FRAMES_MAX + 2,
    MSIZE = P9_FRAMES_MAX * 4096 + 24,
    MSIZE_LEAST = 4096 + 24,
    TAG_BYTES = 32
};
#define NO_TAG 0xffff
#define GETATTR_BASIC ((uint64_t)0x7ff)
#define ANSWER_NS ((uint64_t)60 * 1000000000) /* for a server that is busy */
#define NS_PER_S 1000000000

struct p9_request {
    struct virtq_request queued;
    struct list node; /* client->spare or client->active */
    uint32_t fids[2]; /* that the message names */
    bool clunk[2];    /* and that are to be clunked after it */
    struct vring_desc pieces[PIECES_MAX] __attribute__((aligned(16)));
    uint16_t tag;
    uint8_t type;
    bool detached;     /* nobody waits for the reply */
    bool overflow;     /* the message did not fit, or the reply was shorter than what was read from it */
    uint8_t *message;  /* `inside`, or longer memory of its own */
    uint32_t capacity; /* of message */
    uint32_t at;       /* in the message while it is written, in the reply while it is read */
    uint32_t reply_length;
    uint8_t reply[REPLY_BYTES];
    uint8_t inside[MESSAGE_BYTES];
};
_Static_assert(sizeof(struct p9_request) <= 2048, "a cell of half a page");

struct p9_client {
    struct p9_client *next;
    struct virtio_device device;
    struct virtq *queue;
    char tag[TAG_BYTES];
    uint32_t msize;
    uint32_t next_fid;
    unsigned fids;     /* that the server keeps */
    uint64_t tags;     /* bit: in use */
    unsigned entering; /* calls that have a fid in mind and have not given their request to the device */
    unsigned requests, detached;
    struct list spare, active;
    /* Who waits for one thing is not woken, one at a time, for another. */
    struct waitq spared;  /* a request has become free */
    struct waitq room;    /* a place in the queue has */
    struct waitq entered; /* `entering` has become 0 */
};

static struct p9_client *clients; /* one a device: the root, the share */

static void clunk_unused(struct p9_client *client, uint32_t fid);

/* ---------------------------------------------------------------- requests */

static struct p9_request *request_make(struct p9_client *client)
{
    struct p9_request *request = slab_alloc(sizeof(*request));

    if (request == NULL)
        return NULL;
    waitq_init(&request->queued.waiters);
    request->queued.pieces = request->pieces;
    client->requests++;
    return request;
}

/* Never fails: some request comes back sooner or later. Nobody else may be there to see it come back: a
 * detached one has no waiter. */
static struct p9_request *request_take(struct p9_client *client)
{
    for (;;) {
        struct list *node = list_pop_front(&client->spare);
        struct p9_request *request;

        if (node != NULL)
            return container_of(node, struct p9_request, node);
        if (client->requests < REQUESTS_MAX) {
            request = request_make(client);
            if (request != NULL)
                return request;
        }
        (void)virtq_wait_on(client->queue, &client->spared, virtio_deadline(ANSWER_NS), false);
    }
}

/* Begins a message of at most `bytes`, 0: of the usual length. NULL without memory for a long one. */
static struct p9_request *request_begin(struct p9_client *client, enum message type, size_t bytes)
{
    struct p9_request *request;

    client->entering++;
    request = request_take(client);
    request->message = request->inside;
    request->capacity = MESSAGE_BYTES;
    request->type = (uint8_t)type;
    request->detached = false;
    request->overflow = false;
    request->at = HEADER_BYTES;
    request->queued.count = 0;
    request->fids[0] = request->fids[1] = P9_NO_FID;
    request->clunk[0] = request->clunk[1] = false;
    list_push_back(&client->active, &request->node);
    request->tag = (uint16_t)__builtin_ctzll(~client->tags);
    client->tags |= (uint64_t)1 << request->tag;
    if (bytes > MESSAGE_BYTES) {
        request->message = slab_alloc(bytes);
        request->capacity = (uint32_t)bytes;
    }
    return request;
}

static void request_end(struct p9_client *client, struct p9_request *request)
{
    uint32_t clunk[2];

    for (unsigned i = 0; i < 2; i++)
        clunk[i] = request->clunk[i] ? request->fids[i] : P9_NO_FID;
    if (request->message != request->inside)
        slab_free(request->message);
    client->tags &= ~((uint64_t)1 << request->tag);
    list_remove(&request->node);
    if (client->requests > REQUESTS_KEPT) {
        client->requests--;
        slab_free(request);
    } else {
        list_push_back(&client->spare, &request->node);
    }
    waitq_wake_one(&client->spared);
    for (unsigned i = 0; i < 2; i++)
        if (clunk[i] != P9_NO_FID)
            clunk_unused(client, clunk[i]);
}

/* ---------------------------------------------------------------- writing a message */

static void put_bytes(struct p9_request *request, const void *bytes, size_t count)
{
    if (request->message == NULL || count > request->capacity - request->at) {
        request->overflow = true;
        return;
    }
    memcpy(request->message + request->at, bytes, count);
    request->at += (uint32_t)count;
}

static void put16(struct p9_request *request, unsigned value)
{
    uint16_t number = (uint16_t)value;

    put_bytes(request, &number, sizeof(number));
}

static void put32(struct p9_request *request, uint32_t value)
{
    put_bytes(request, &value, sizeof(value));
}

static void put_fid(struct p9_request *request, uint32_t fid)
{
    request->fids[request->fids[0] != P9_NO_FID] = fid;
    put32(request, fid);
}

static void put64(struct p9_request *request, uint64_t value)
{
    put_bytes(request, &value, sizeof(value));
}

static void put_string(struct p9_request *request, const char *text)
{
    size_t length = strlen(text);

    put16(request, (unsigned)length);
    put_bytes(request, text, length);
}

static void put_time(struct p9_request *request, int64_t ns)
{
    int64_t seconds = ns / NS_PER_S, rest = ns % NS_PER_S;

    if (rest < 0) {
        rest += NS_PER_S;
        seconds--;
    }
    put64(request, (uint64_t)seconds);
    put64(request, (uint64_t)rest);
}

/* ---------------------------------------------------------------- reading a reply */

static void get_bytes(struct p9_request *request, void *to, size_t count)
{
    if (count > request->reply_length - request->at) {
        request->overflow = true;
        memset(to, 0, count);
        return;
    }
    memcpy(to, request->reply + request->at, count);
    request->at += (uint32_t)count;
}

static uint8_t get8(struct p9_request *request)
{
    uint8_t value;

    get_bytes(request, &value, sizeof(value));
    return value;
}

static uint16_t get16(struct p9_request *request)
{
    uint16_t value;

    get_bytes(request, &value, sizeof(value));
    return value;
}

static uint32_t get32(struct p9_request *request)
{
    uint32_t value;

    get_bytes(request, &value, sizeof(value));
    return value;
}

static uint64_t get64(struct p9_request *request)
{
    uint64_t value;

    get_bytes(request, &value, sizeof(value));
    return value;
}

static struct p9_qid get_qid(struct p9_request *request)
{
    struct p9_qid qid;

    qid.type = get8(request);
    qid.version = get32(request);
    qid.path = get64(request);
    return qid;
}

static int64_t get_time(struct p9_request *request)
{
    int64_t seconds = (int64_t)get64(request);

    return seconds * NS_PER_S + (int64_t)get64(request);
}

/* ---------------------------------------------------------------- a call */

static void add_piece(struct p9_request *request, uint64_t physical, uint32_t bytes, uint16_t flags)
{
    struct vring_desc *last = &request->pieces[request->queued.count];

    if (request->queued.count != 0 && last[-1].addr + last[-1].len == physical &&
        (last[-1].flags & VRING_DESC_F_WRITE) == flags) {
        last[-1].len += bytes;
        return;
    }
    CHECK_ALWAYS(request->queued.count < PIECES_MAX);
    virtq_piece(last, physical, bytes, flags);
    request->queued.count++;
}

/* `bytes` of frames, from the first one's beginning. */
static void add_frames(struct p9_request *request, struct frame *const *frames, uint32_t bytes,
                       uint16_t flags)
{
    for (; bytes != 0; frames++) {
        uint32_t chunk = bytes < PAGE_SIZE ? bytes : (uint32_t)PAGE_SIZE;

        add_piece(request, frame_paddr(*frames).v, chunk, flags);
        bytes -= chunk;
    }
}

static int submit(struct p9_client *client, struct p9_request *request)
{
    int error;

    while ((error = virtq_submit(client->queue, &request->queued)) == -EAGAIN)
        (void)virtq_wait_on(client->queue, &client->room, virtio_deadline(ANSWER_NS), false);
    if (error != 0)
        return -EIO;
    virtq_notify(client->queue);
    return 0;
}

/* What the reply's header says. */
static int check_reply(struct p9_request *request, unsigned tag)
{
    uint32_t written = request->queued.written;
    uint32_t size, number;
    uint8_t type;

    request->at = 0;
    request->reply_length = written < REPLY_BYTES ? written : REPLY_BYTES;
    size = get32(request);
    type = get8(request);
    if (get16(request) != tag || size > written || size < HEADER_BYTES)
        return -EIO;
    if (type == P9_RLERROR) {
        number = get32(request);
        return !request->overflow && number > 0 && number < 4096 ? -(int)number : -EIO;
    }
    return type == request->type + 1 ? 0 : -EIO;
}

/* Sends the message and waits for its reply. `data` bytes of `frames` follow the message (writing) or the
 * first `reply_bytes` of the reply (reading). */
struct p9_data {
    struct frame *const *frames;
    uint32_t bytes;
    bool reading;
};

static unsigned tag_of(const struct p9_request *request)
{
    return request->type == P9_TVERSION ? NO_TAG : request->tag;
}

static void finish_message(struct p9_request *request, uint32_t reply_bytes, const struct p9_data *data)
{
    uint32_t size = request->at;

    request->at = 0;
    put32(request, data != NULL && !data->reading ? size + data->bytes : size);
    put_bytes(request, &request->type, 1);
    put16(request, tag_of(request));
    add_piece(request, host_paddr(request->message).v, size, 0);
    if (data != NULL && !data->reading)
        add_frames(request, data->frames, data->bytes, 0);
    add_piece(request, host_paddr(request->reply).v, reply_bytes, VRING_DESC_F_WRITE);
    if (data != NULL && data->reading)
        add_frames(request, data->frames, data->bytes, VRING_DESC_F_WRITE);
}

/* Once for each request_begin(). */
static int send(struct p9_client *client, struct p9_request *request, uint32_t reply_bytes,
                const struct p9_data *data)
{
    int error = 0;

    if (request->overflow) {
        error = request->message == NULL ? -ENOMEM : -ENAMETOOLONG;
    } else {
        finish_message(request, reply_bytes, data);
        error = submit(client, request);
    }
    if (--client->entering == 0)
        waitq_wake(&client->entered);
    return error;
}

static int call(struct p9_client *client, struct p9_request *request, uint32_t reply_bytes,
                const struct p9_data *data)
{
    int error = send(client, request, reply_bytes, data);

    if (error == 0)
        error = virtq_wait(client->queue, &request->queued, virtio_deadline(ANSWER_NS));
    return error != 0 ? error : check_reply(request, tag_of(request));
}

static int call_plain(struct p9_client *client, struct p9_request *request)
{
    return call(client, request, REPLY_BYTES, NULL);
}

/* For messages whose reply says nothing. */
static int finish(struct p9_client *client, struct p9_request *request)
{
    int error = call_plain(client, request);

    request_end(client, request);
    return error;
}

/* The result of reading a reply. */
static int checked(struct p9_client *client, struct p9_request *request, int error)
{
    if (error == 0 && request->overflow)
        error = -EIO;
    request_end(client, request);
    return error;
}

/* ---------------------------------------------------------------- starting */

static void completed(struct virtq *queue, struct virtq_request *queued)
{
    struct p9_client *client = container_of(queue->device, struct p9_client, device);
    struct p9_request *request = container_of(queued, struct p9_request, queued);

    waitq_wake_one(&client->room);
    if (request->detached) {
        client->detached--;
        request_end(client, request);
    }
}

static void client_broken(struct virtio_device *device)
{
    struct p9_client *client = container_of(device, struct p9_client, device);

    waitq_wake(&client->room);
    waitq_wake(&client->spared);
}

/* The tag lies in the device's configuration: 16 bits of length, then the bytes. */
static void read_tag(struct p9_client *client)
{
    const volatile uint8_t *config = client->device.config;
    unsigned length = 0;

    if (client->device.config_bytes >= sizeof(uint16_t))
        length = config[0] | (unsigned)config[1] << 8;
    if (length > TAG_BYTES - 1 || length + sizeof(uint16_t) > client->device.config_bytes)
        length = 0;
    for (unsigned i = 0; i < length; i++)
        client->tag[i] = (char)config[sizeof(uint16_t) + i];
}

static int start(struct p9_client *client, const struct pci_device *pci)
{
    int error = virtio_start(&client->device, pci, "share", (uint64_t)1 << VIRTIO_9P_MOUNT_TAG);

    if (error != 0)
        return error;
    read_tag(client);
    client->queue = virtq_create(&client->device, 0, QUEUE_SIZE);
    for (unsigned i = 0; i < REQUESTS_FIRST && client->queue != NULL; i++) {
        struct p9_request *request = request_make(client);

        if (request == NULL)
            return -ENOMEM;
        list_push_back(&client->spare, &request->node);
    }
    if (client->queue == NULL)
        return -ENOMEM;
    client->queue->completed = completed;
    client->device.broken = client_broken;
    virtio_ready(&client->device);
    return 0;
}

int p9_start(const struct pci_device *pci)
{
    struct p9_client *client;
    int error;

    client = slab_alloc(sizeof(*client));
    if (client == NULL)
        return -ENOMEM;
    list_init(&client->spare);
    list_init(&client->active);
    waitq_init(&client->spared);
    waitq_init(&client->room);
    waitq_init(&client->entered);
    error = start(client, pci);
    if (error != 0)
        return error; /* its memory stays the device's, which may have been told of it */
    client->next = clients;
    clients = client;
    return 0;
}

struct p9_client *p9_find(const char *tag)
{
    struct p9_client *client = clients;

    while (client != NULL && strcmp(client->tag, tag) != 0)
        client = client->next;
    return client;
}

static int agree(struct p9_client *client)
{
    static const char version[] = "9P2000.L";
    struct p9_request *request = request_begin(client, P9_TVERSION, 0);
    uint32_t largest = MSIZE, pieces = virtq_pieces_max(client->queue);
    char answer[sizeof(version) - 1];
    uint16_t length;
    int error;

    if (pieces < PIECES_MAX)
        largest = (pieces - 2) * (uint32_t)PAGE_SIZE + (MSIZE - P9_FRAMES_MAX * (uint32_t)PAGE_SIZE);
    put32(request, largest);
    put_string(request, version);
    error = call_plain(client, request);
    client->msize = get32(request);
    length = get16(request);
    get_bytes(request, answer, sizeof(answer));
    if (error == 0 && (length != sizeof(answer) || memcmp(answer, version, sizeof(answer)) != 0 ||
                       client->msize < MSIZE_LEAST))
        error = -EPROTONOSUPPORT;
    if (client->msize > largest)
        client->msize = largest;
    return checked(client, request, error);
}

int p9_attach(struct p9_client *client, uint32_t *root_fid)
{
    struct p9_request *request;
    int error = agree(client);

    if (error != 0)
        return error;
    *root_fid = p9_new_fid(client);
    request = request_begin(client, P9_TATTACH, 0);
    put32(request, *root_fid);
    put32(request, P9_NO_FID);
    put_string(request, "root");
    put_string(request, "");
    put32(request, 0);
    error = finish(client, request);
    client->fids += error == 0;
    return error;
}

unsigned p9_fids(const struct p9_client *client)
{
    return client->fids;
}

struct virtio_device *p9_device(struct p9_client *client)
{
    return &client->device;
}

/* ---------------------------------------------------------------- the messages */

uint32_t p9_new_fid(struct p9_client *client)
{
    return client->next_fid++;
}

int p9_walk(struct p9_client *client, uint32_t from, uint32_t to, const char *name, struct p9_qid *qid)
{
    struct p9_request *request = request_begin(client, P9_TWALK, 0);
    int error;

    put_fid(request, from);
    put32(request, to);
    put16(request, name != NULL ? 1 : 0);
    if (name != NULL)
        put_string(request, name);
    error = call_plain(client, request);
    if (error == 0 && get16(request) != (name != NULL ? 1 : 0))
        error = -ENOENT;
    if (error == 0 && name != NULL)
        *qid = get_qid(request);
    error = checked(client, request, error);
    client->fids += error == 0;
    return error;
}

/* Sends the message, unless a call that is under way uses the fid: then that call's end does it. */
static void clunk_unused(struct p9_client *client, uint32_t fid)
{
    struct p9_request *request;

    while (client->entering != 0 && virtio_may_sleep())
        (void)waitq_sleep(&client->entered, UINT64_MAX, false);
    list_for_each(node, &client->active)
    {
        request = container_of(node, struct p9_request, node);
        for (unsigned i = 0; i < 2; i++) {
            if (request->fids[i] == fid) {
                request->clunk[i] = true;
                return;
            }
        }
    }
    request = request_begin(client, P9_TCLUNK, 0);
    put32(request, fid);
    if (client->detached == DETACHED_MAX) {
        (void)finish(client, request);
        return;
    }
    request->detached = true; /* the fid is gone whatever the answer is */
    client->detached++;
    if (send(client, request, REPLY_BYTES, NULL) != 0) {
        client->detached--;
        request_end(client, request);
    }
}

void p9_clunk(struct p9_client *client, uint32_t fid)
{
    client->fids--;
    clunk_unused(client, fid);
}

int p9_getattr(struct p9_client *client, uint32_t fid, struct p9_attr *out)
{
    struct p9_request *request = request_begin(client, P9_TGETATTR, 0);
    int error;

    put_fid(request, fid);
    put64(request, GETATTR_BASIC);
    error = call_plain(client, request);
    if (error == 0) {
        (void)get64(request); /* which of them are valid: the basic ones always are */
        out->qid = get_qid(request);
        out->mode = get32(request);
        out->uid = get32(request);
        out->gid = get32(request);
        out->nlink = get64(request);
        out->rdev = get64(request);
        out->size = get64(request);
        out->block_size = get64(request);
        out->blocks = get64(request);
        out->atime_ns = get_time(request);
        out->mtime_ns = get_time(request);
        out->ctime_ns = get_time(request);
    }
    return checked(client, request, error);
}

int p9_setattr(struct p9_client *client, uint32_t fid, const struct p9_attr *attr, unsigned which)
{
    struct p9_request *request = request_begin(client, P9_TSETATTR, 0);

    put_fid(request, fid);
    put32(request, which);
    put32(request, attr->mode);
    put32(request, attr->uid);
    put32(request, attr->gid);
    put64(request, attr->size);
    put_time(request, attr->atime_ns);
    put_time(request, attr->mtime_ns);
    return finish(client, request);
}

int p9_open(struct p9_client *client, uint32_t fid, unsigned flags)
{
    struct p9_request *request = request_begin(client, P9_TLOPEN, 0);

    put_fid(request, fid);
    put32(request, flags);
    return finish(client, request);
}

int p9_create(struct p9_client *client, uint32_t fid, const char *name, unsigned flags, uint32_t mode)
{
    struct p9_request *request = request_begin(client, P9_TLCREATE, 0);

    put_fid(request, fid);
    put_string(request, name);
    put32(request, flags);
    put32(request, mode);
    put32(request, 0);
    return finish(client, request);
}

int p9_mkdir(struct p9_client *client, uint32_t dir, const char *name, uint32_t mode)
{
    struct p9_request *request = request_begin(client, P9_TMKDIR, 0);

    put_fid(request, dir);
    put_string(request, name);
    put32(request, mode);
    put32(request, 0);
    return finish(client, request);
}

int p9_mknod(struct p9_client *client, uint32_t dir, const char *name, uint32_t mode, unsigned major,
             unsigned minor)
{
    struct p9_request *request = request_begin(client, P9_TMKNOD, 0);

    put_fid(request, dir);
    put_string(request, name);
    put32(request, mode);
    put32(request, major);
    put32(request, minor);
    put32(request, 0);
    return finish(client, request);
}

int p9_symlink(struct p9_client *client, uint32_t dir, const char *name, const char *target)
{
    struct p9_request *request =
        request_begin(client, P9_TSYMLINK, HEADER_BYTES + 12 + strlen(name) + strlen(target));

    put_fid(request, dir);
    put_string(request, name);
    put_string(request, target);
    put32(request, 0);
    return finish(client, request);
}

int p9_link(struct p9_client *client, uint32_t dir, uint32_t fid, const char *name)
{
    struct p9_request *request = request_begin(client, P9_TLINK, 0);

    put_fid(request, dir);
    put_fid(request, fid);
    put_string(request, name);
    return finish(client, request);
}

int p9_rename(struct p9_client *client, uint32_t dir, const char *name, uint32_t to_dir, const char *to_name)
{
    struct p9_request *request = request_begin(client, P9_TRENAMEAT, 0);

    put_fid(request, dir);
    put_string(request, name);
    put_fid(request, to_dir);
    put_string(request, to_name);
    return finish(client, request);
}

int p9_unlink(struct p9_client *client, uint32_t dir, const char *name, enum p9_unlink what)
{
    struct p9_request *request = request_begin(client, P9_TUNLINKAT, 0);

    put_fid(request, dir);
    put_string(request, name);
    put32(request, what);
    return finish(client, request);
}

int p9_fsync(struct p9_client *client, uint32_t fid, bool data_only)
{
    struct p9_request *request = request_begin(client, P9_TFSYNC, 0);

    put_fid(request, fid);
    put32(request, data_only);
    return finish(client, request);
}

int p9_statfs(struct p9_client *client, uint32_t fid, struct p9_statfs *out)
{
    struct p9_request *request = request_begin(client, P9_TSTATFS, 0);
    int error;

    put_fid(request, fid);
    error = call_plain(client, request);
    if (error == 0) {
        out->type = get32(request);
        out->block_size = get32(request);
        out->blocks = get64(request);
        out->free = get64(request);
        out->available = get64(request);
        out->files = get64(request);
        out->files_free = get64(request);
        (void)get64(request); /* the file system's number */
        out->name_max = get32(request);
    }
    return checked(client, request, error);
}

/* ---------------------------------------------------------------- data */

long p9_readlink(struct p9_client *client, uint32_t fid, struct frame *frame)
{
    struct p9_request *request = request_begin(client, P9_TREADLINK, 0);
    struct p9_data data = {&frame, (uint32_t)PAGE_SIZE, true};
    uint16_t length = 0;
    char *text = frame_data(frame);
    int error;

    put_fid(request, fid);
    /* Room for an error, which is two bytes more than a length: so the target begins in the reply. */
    error = call(client, request, DATA_HEADER_BYTES, &data);
    if (error == 0) {
        request->reply_length =
            DATA_HEADER_BYTES < request->queued.written ? DATA_HEADER_BYTES : request->queued.written;
        length = get16(request);
        if (length >= PAGE_SIZE || HEADER_BYTES + sizeof(length) + length > request->queued.written) {
            error = -EIO;
        } else {
            memmove(text + 2, text, length > 2 ? length - 2u : 0);
            memcpy(text, request->reply + HEADER_BYTES + sizeof(length), length < 2 ? length : 2);
        }
    }
    error = checked(client, request, error);
    return error != 0 ? error : length;
}

/* What Tread and Treaddir have in common. */
static long read_data(struct p9_client *client, enum message type, uint32_t fid, uint64_t offset,
                      const struct p9_data *data)
{
    struct p9_request *request = request_begin(client, type, 0);
    uint32_t count = 0;
    int error;

    put_fid(request, fid);
    put64(request, offset);
    put32(request, data->bytes);
    error = call(client, request, DATA_HEADER_BYTES, data);
    if (error == 0)
        count = get32(request);
    if (error == 0 && (count > data->bytes || count > request->queued.written - DATA_HEADER_BYTES))
        error = -EIO;
    error = checked(client, request, error);
    return error != 0 ? error : (long)count;
}

static uint32_t data_max(const struct p9_client *client)
{
    return (uint32_t)align_down(client->msize - 24, PAGE_SIZE);
}

long p9_readdir(struct p9_client *client, uint32_t fid, uint64_t offset, struct frame *frame)
{
    struct p9_data data = {&frame, (uint32_t)PAGE_SIZE, true};

    return read_data(client, P9_TREADDIR, fid, offset, &data);
}

long p9_read(struct p9_client *client, uint32_t fid, uint64_t offset, struct frame *const *frames,
             uint32_t bytes)
{
    struct p9_data data = {frames, bytes < data_max(client) ? bytes : data_max(client), true};

    return read_data(client, P9_TREAD, fid, offset, &data);
}

long p9_write(struct p9_client *client, uint32_t fid, uint64_t offset, struct frame *const *frames,
              uint32_t bytes)
{
    struct p9_data data = {frames, bytes < data_max(client) ? bytes : data_max(client), false};
    struct p9_request *request = request_begin(client, P9_TWRITE, 0);
    uint32_t count = 0;
    int error;

    put_fid(request, fid);
    put64(request, offset);
    put32(request, data.bytes);
    error = call(client, request, REPLY_BYTES, &data);
    if (error == 0)
        count = get32(request);
    if (error == 0 && count > data.bytes)
        error = -EIO;
    error = checked(client, request, error);
    return error != 0 ? error : (long)count;
}

/* Takes `count` bytes of an entry. */
static bool entry_take(const uint8_t **at, const uint8_t *end, void *to, size_t count)
{
    if ((size_t)(end - *at) < count)
        return false;
    memcpy(to, *at, count);
    *at += count;
    return true;
}

bool p9_entry_next(const uint8_t **at, const uint8_t *end, struct p9_entry *out)
{
    if (!entry_take(at, end, &out->qid.type, 1) || !entry_take(at, end, &out->qid.version, 4) ||
        !entry_take(at, end, &out->qid.path, 8) || !entry_take(at, end, &out->next, 8) ||
        !entry_take(at, end, &out->type, 1) || !entry_take(at, end, &out->name_length, 2) ||
        (size_t)(end - *at) < out->name_length)
        return false;
    out->name = (const char *)*at;
    *at += out->name_length;
    return true;
}
