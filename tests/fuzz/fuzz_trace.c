/*
 * The readers of traces, on what nobody would have written.
 *
 * The first byte chooses. Of the formats of others, the rest is the file; for those of text the bytes are
 * first turned into characters that such files have, so that an input gets beyond the first line. Of our own,
 * either references are written, read, and read with their future, and must come back; or a file is put
 * together whose fields are wrong and whose sums are right, so that the checks behind the sums are met.
 *
 * Whatever a reader gives must keep the promises of sim/trace.h: numbers below the pages, each first coming
 * in order, and the same a second time.
 */
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "quire/event.h"
#include "sim/bytes.h"
#include "sim/hash.h"
#include "sim/trace_format.h"
#include "sim/trace_future.h"
#include "sim/trace_names.h"
#include "sim/trace_writer.h"
#include "support.h"
#include "tests/fuzz/expect.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { REFERENCES_MOST = 1 << 16 };

/* A file without a name; its descriptor can be opened again by the path. */
static int new_file(char path[32])
{
    char name[] = "/tmp/quire-fuzz-XXXXXX";
    int fd = mkstemp(name);

    EXPECT(fd >= 0);
    unlink(name);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static void put(int fd, const void *bytes, size_t count)
{
    EXPECT(write(fd, bytes, count) == (ssize_t)count);
}

/* How many references, or SIZE_MAX after an error; up to REFERENCES_MOST of them in `out`. */
static size_t read_all(struct trace *trace, uint32_t *out, struct trace_error *error)
{
    struct policy_block block;
    uint32_t seen = 0;
    size_t count = 0;

    while (true) {
        if (!trace_next(trace, &block, error)) {
            EXPECT(strchr(error->text, ':'));
            return SIZE_MAX;
        }
        if (block.count == 0)
            return count;
        EXPECT(block.count <= TRACE_BLOCK);
        for (size_t i = 0; i < block.count; i++, count++) {
            EXPECT(block.references[i] >> 1 < trace_pages(trace));
            if (block.references[i] >> 1 >= seen)
                seen = (block.references[i] >> 1) + 1;
            if (count < REFERENCES_MOST)
                out[count] = block.references[i];
        }
        EXPECT(seen <= trace_pages(trace));
    }
}

static void read_twice(const char *path, const struct trace_options *options)
{
    static uint32_t first[REFERENCES_MOST], second[REFERENCES_MOST];
    struct trace_error error = {{0}};
    struct trace *trace = trace_open(path, options, &error);

    if (!trace) {
        EXPECT(error.text[0]);
        return;
    }
    struct trace_info info;

    trace_get_info(trace, &info);
    size_t count = read_all(trace, first, &error);

    EXPECT(count == SIZE_MAX || info.format != TRACE_QUIRE || count == info.references);
    EXPECT(trace_rewind(trace, &error));
    EXPECT(read_all(trace, second, &error) == count);
    if (count != SIZE_MAX)
        EXPECT(memcmp(first, second,
                      (count < REFERENCES_MOST ? count : REFERENCES_MOST) * sizeof(first[0])) == 0);
    trace_close(trace);
}

/* ------------------------------------------------------------------ formats of others */

static void others(enum trace_format format, const unsigned char *data, size_t size)
{
    static const char *const letters[] = {[TRACE_TEXT] = "0123456789 \n\twWx",
                                          [TRACE_LACKEY] = "0123456789abcdef \n,ILSM=",
                                          [TRACE_CSV] = "0123456789.,;\n\"\r get"};
    const struct trace_options options = {.format = format,
                                          .page_bytes = (uint64_t)1 << (10 + data[0] / 16),
                                          .address_bits = data[0] & 8 ? 40 : 64,
                                          .csv_columns = data[0] & 8 ? "obj-id-col=1,delimiter=;" : NULL};
    char path[32];
    int fd = new_file(path);

    unsigned char *bytes = malloc(size);

    EXPECT(bytes);
    for (size_t i = 1; i < size; i++) {
        bytes[i] = data[i];
        if (format < sizeof(letters) / sizeof(letters[0]) && letters[format])
            bytes[i] = (unsigned char)letters[format][data[i] % strlen(letters[format])];
    }
    put(fd, bytes + 1, size - 1);
    free(bytes);
    read_twice(path, &options);
    close(fd);
}

/* ------------------------------------------------------------------ recordings */

/* Each event of a few bytes; what is behind the last one stays as it is. */
static void recording(const unsigned char *data, size_t size)
{
    struct event_file_head head = {.version = EVENT_FILE_VERSION, .window = 16, .page_bytes = 4096};
    char path[32];
    int fd = new_file(path);
    size_t at = 1;

    memcpy(head.magic, EVENT_FILE_MAGIC, sizeof(head.magic));
    put(fd, &head, sizeof(head));
    for (; at + 4 <= size; at += 4) {
        struct event event = {.kind = data[at] % (EVENT_KINDS + 1),
                              .process = data[at + 1] % 8,
                              .page = data[at] & 128 ? EVENT_PAGE_PRIVATE | data[at + 2]
                                                     : (uint64_t)data[at + 2] << 26,
                              .time_ns = (uint64_t)data[at + 1] * at * 100,
                              .value = (uint64_t)data[at + 2] << (data[at + 1] / 4),
                              .detail = data[at + 3]};

        if (event.kind == EVENT_LOST || event.kind == EVENT_SHORT || event.kind == EVENT_KINDS)
            event.kind = data[at + 3] == 0 ? event.kind : EVENT_REFERENCE;
        if (event.kind == EVENT_FORK)
            event.value = data[at + 2] % 8;
        put(fd, &event, sizeof(event));
    }
    put(fd, data + at, size - at);
    read_twice(path, NULL);
    read_twice(path, &(struct trace_options){.page_bytes = 65536, .process = data[0] >> 4});
    close(fd);
}

/* ------------------------------------------------------------------ our own, as it should be */

static uint32_t naive_distance(const uint32_t *references, size_t count, size_t at)
{
    for (size_t i = at + 1; i < count; i++)
        if (references[i] >> 1 == references[at] >> 1)
            return (uint32_t)(i - at);
    return UINT32_MAX;
}

static void expect_future(const char *path, const uint32_t *references, size_t count)
{
    struct trace_error error;
    struct trace_future *future = future_open(path, NULL, &error);
    struct policy_block block;
    size_t at = 0;

    EXPECT(future);
    while (future_next(future, &block, &error) && block.count > 0)
        for (size_t i = 0; i < block.count; i++, at++) {
            EXPECT(block.references[i] == references[at]);
            EXPECT(block.distances[i] == naive_distance(references, count, at));
        }
    EXPECT(at == count);
    future_close(future);
}

/* Two bytes a reference: the page, scattered or dense, and whether it is a write. */
static void there_and_back(const unsigned char *data, size_t size)
{
    static uint32_t references[REFERENCES_MOST], found[REFERENCES_MOST];
    const struct trace_writer_options options = {.page_bytes = 4096};
    struct trace_names names = {0};
    struct trace_error error;
    char path[32];
    int fd = new_file(path);
    struct trace_writer *writer = writer_create_fd(fd, "fuzz", &options, &error);
    size_t count = 0;

    EXPECT(writer);
    for (size_t i = 1; i + 1 < size; i += 2) {
        uint64_t name = (uint64_t)(data[i] | (data[i + 1] & 0x7f) << 8) * (data[0] & 1 ? 1 : 0x10000001);
        uint32_t before = names.count, number = trace_names_number(&names, name);

        EXPECT(number <= before);
        if (number == before)
            EXPECT(writer_page(writer, name, &error));
        references[count] = number << 1 | data[i + 1] >> 7;
        EXPECT(writer_put(writer, &references[count++], 1, &error));
    }
    EXPECT(trace_names_check(&names) == NULL);
    EXPECT(writer_finish(writer, 0, &error) == (count > 0));
    if (count > 0) {
        struct trace *trace = trace_open(path, NULL, &error);

        EXPECT(trace && read_all(trace, found, &error) == count);
        EXPECT(memcmp(found, references, count * sizeof(found[0])) == 0);
        trace_close(trace);
        expect_future(path, references, count);
    }
    trace_names_free(&names);
    close(fd);
}

/* ------------------------------------------------------------------ our own, as it should not be */

struct input {
    const unsigned char *at, *end;
};

static unsigned take(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

/* Mostly `value`; sometimes one that is near, or far off. */
static uint32_t spoil(struct input *input, uint32_t value)
{
    unsigned choice = take(input);

    if (choice < 200)
        return value;
    return choice < 230 ? value + take(input) - 128 : (uint32_t)take(input) << take(input) % 25;
}

static uint32_t put_block(int fd, struct input *input, uint32_t before, uint32_t *references, uint32_t *pages)
{
    unsigned char plain[4096], record[FORMAT_BLOCK_BYTES + 8192] = {0},
                                                           *payload = record + FORMAT_BLOCK_BYTES;
    uint32_t names = take(input) % 20, count = take(input) % 100, encoding = 1 + take(input) % 3;
    size_t length = 0;

    *pages += names;
    for (uint32_t i = 0; i < names; i++, length += FORMAT_NAME_BYTES)
        bytes_put64(plain + length, (uint64_t)take(input) << take(input) % 57);
    if (encoding == PACK_DICTIONARY) {
        uint32_t different = 1 + take(input) % 10;

        bytes_put32(plain + length, spoil(input, different));
        length += 4;
        for (uint32_t i = 0; i < different; i++, length += 4)
            bytes_put32(plain + length, take(input) % 8);
    }
    for (uint32_t i = 0; i < count; i++, length += encoding == PACK_32 ? 4 : 2)
        bytes_put32(plain + length, spoil(input, *pages ? take(input) % (2 * *pages) : 0));
    size_t packed = ZSTD_compress(payload, 8192, plain, length, 1);

    bytes_put32(record, spoil(input, FORMAT_BLOCK_MARK));
    bytes_put32(record + BLOCK_PAYLOAD, spoil(input, (uint32_t)packed));
    bytes_put32(record + BLOCK_PLAIN, spoil(input, (uint32_t)length));
    bytes_put32(record + BLOCK_REFERENCES, spoil(input, count));
    bytes_put32(record + BLOCK_PAGES, spoil(input, names));
    bytes_put32(record + BLOCK_ENCODING, spoil(input, encoding));
    bytes_put32(record + BLOCK_BEFORE, spoil(input, before));
    uint32_t claimed = bytes_get32(record + BLOCK_PAYLOAD);
    size_t summed = claimed < 8192 ? claimed : packed;

    bytes_put64(record + BLOCK_SUM, xxh64(payload, summed, xxh64(record, BLOCK_SUM, 0)));
    put(fd, record, FORMAT_BLOCK_BYTES + packed);
    *references += count;
    return FORMAT_BLOCK_BYTES + (uint32_t)packed;
}

static void made_up(const unsigned char *data, size_t size)
{
    struct input input = {data + 1, data + size};
    unsigned char head[FORMAT_HEAD_BYTES] = FORMAT_MAGIC, trailer[FORMAT_TRAILER_BYTES] = {0};
    uint32_t references = 0, pages = 0, before = FORMAT_HEAD_BYTES;
    struct trace_error error;
    char path[32];
    int fd = new_file(path);

    bytes_put32(head + HEAD_VERSION, spoil(&input, FORMAT_VERSION));
    bytes_put32(head + HEAD_BYTES, FORMAT_HEAD_BYTES);
    bytes_put64(head + HEAD_PAGE_BYTES, spoil(&input, 4096));
    bytes_put64(head + HEAD_SUM, xxh64(head, HEAD_SUM, 0));
    put(fd, head, sizeof(head));
    for (unsigned i = 0, blocks = take(&input) % 6; i < blocks; i++)
        before = put_block(fd, &input, before, &references, &pages);
    bytes_put32(trailer, FORMAT_TRAILER_MARK);
    bytes_put32(trailer + TRAILER_BEFORE, spoil(&input, before));
    bytes_put64(trailer + TRAILER_REFERENCES, spoil(&input, references));
    bytes_put32(trailer + TRAILER_PAGES, spoil(&input, pages) % (1 << 20));
    bytes_put64(trailer + TRAILER_SUM, xxh64(trailer, TRAILER_SUM, 0));
    put(fd, trailer, sizeof(trailer));
    read_twice(path, NULL);
    read_twice(path, &(struct trace_options){.page_bytes = 16384});
    struct trace_future *future = future_open(path, NULL, &error);
    struct policy_block block;

    while (future && future_next(future, &block, &error) && block.count > 0)
        ;
    future_close(future);
    close(fd);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size < 2)
        return 0;
    switch (data[0] % 8) {
    case 0:
        there_and_back(data, size < 6000 ? size : 6000);
        break;
    case 6:
        recording(data, size);
        break;
    case 7:
        made_up(data, size);
        break;
    default:
        others((enum trace_format)(TRACE_TEXT + data[0] % 8 - 1), data, size);
        break;
    }
    return 0;
}
