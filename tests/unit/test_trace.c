/*
 * Traces: each format as it is written down, our own format there and back in every encoding, and what is
 * wrong with a file, told with its place.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/hash.h"
#include "sim/trace_format.h"
#include "sim/trace_future.h"
#include "trace_support.h"

static char long_text[1 << 20];

#define EXPECT_TEXT(path, options, wanted) assert_string_equal(trace_as_text(path, options), wanted)

/* The error without the file's name. */
static void expect_error(const char *path, const struct trace_options *options, const char *wanted)
{
    const char *got = trace_as_text(path, options);
    size_t length = strlen(path);

    assert_memory_equal(got, path, length);
    assert_string_equal(got + length, wanted);
}

/* ------------------------------------------------------------------ hashes */

static void hex_equal(const unsigned char *bytes, size_t count, const char *wanted)
{
    char text[129];

    for (size_t i = 0; i < count; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(text, wanted);
}

static void blake2b_of(const char *text, size_t piece, const char *wanted)
{
    struct blake2b state;
    unsigned char digest[32];

    blake2b_init(&state);
    for (size_t i = 0, length = strlen(text); i < length; i += piece)
        blake2b_add(&state, text + i, length - i < piece ? length - i : piece);
    blake2b_end(&state, digest);
    hex_equal(digest, sizeof(digest), wanted);
}

/* All digests are what Python's hashlib.blake2b(..., digest_size=32) prints. */
static void test_blake2b(void **unused)
{
    char text[513];

    blake2b_of("", 1, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    blake2b_of("abc", 1, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    memset(text, 'a', 512);
    for (size_t length = 0; length < 4; length++) {
        static const char *const wanted[] = {
            "ae2aa48507885c4c950fb809b2076f959cde9f8ea6da260d9a3587df33dac450",
            "2f64744a6de0d2c0b56e64cf6e29a5aaa255010d415d51c75ccc82f73dccd865",
            "eae4d3a7627549b383179dc18049964f91a6fed14c9f3fb26705eda3eeda5558",
            "92c5846de7ec45003de53a69d4b74ddd6e025234edbc90365379ddefacb15477"};
        static const size_t lengths[] = {128, 129, 256, 512};

        text[lengths[length]] = '\0';
        for (size_t piece = 1; piece <= 512; piece += 73)
            blake2b_of(text, piece, wanted[length]);
        text[lengths[length]] = 'a';
    }
}

/* zstd ends a frame with the low half of the XXH64 of what it has packed. */
static void test_xxh64(void **unused)
{
    unsigned char bytes[300], packed[1000];
    ZSTD_CCtx *packer = ZSTD_createCCtx();
    struct random random = {7};

    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(packer, ZSTD_c_checksumFlag, 1)));
    for (size_t length = 0; length < sizeof(bytes); length++) {
        uint32_t sum;
        size_t count = ZSTD_compress2(packer, packed, sizeof(packed), bytes, length);

        assert_false(ZSTD_isError(count));
        memcpy(&sum, packed + count - 4, sizeof(sum));
        assert_int_equal((uint32_t)xxh64(bytes, length, 0), sum);
        bytes[length] = (unsigned char)random_next(&random);
    }
    ZSTD_freeCCtx(packer);
}

/* ------------------------------------------------------------------ text */

static void test_text(void **unused)
{
    EXPECT_TEXT(trace_text_file("7 0 1 2 0"), NULL, "7 0 1 2 0");
    EXPECT_TEXT(trace_text_file("\n 1w 2 w\t3\r\n0x1F W 4503599627370495\n\n"), NULL,
                "1w 2w 3 31w 4503599627370495");
    EXPECT_TEXT(trace_text_file("5"), NULL, "5");
}

static void test_text_wrong(void **unused)
{
    expect_error(trace_text_file(""), NULL, ": at byte 0: the file is empty, expected a trace");
    expect_error(trace_text_file(" \n "), NULL,
                 ": at byte 3: the file ends without a reference, expected one at least");
    expect_error(trace_text_file("1 2\n3 x 4"), NULL,
                 ": at byte 6: line 2: 'x', expected a page number, or 'w' behind one");
    expect_error(trace_text_file("1 w w"), NULL,
                 ": at byte 4: line 1: 'w', expected a page number, or 'w' behind one");
    expect_error(trace_text_file("w 1"), NULL,
                 ": at byte 0: line 1: 'w', expected a page number, or 'w' behind one");
    expect_error(trace_text_file("1w2"), NULL,
                 ": at byte 1: line 1: 'w2', expected a page number, or 'w' behind one");
    expect_error(trace_text_file("12a"), NULL,
                 ": at byte 0: line 1: '12a', expected a page number, or 'w' behind one");
    expect_error(trace_text_file("-1"), NULL,
                 ": at byte 0: line 1: '-1', expected a page number, or 'w' behind one");
    expect_error(trace_text_file("18446744073709551616"), NULL,
                 ": at byte 0: line 1: '18446744073709551616', expected a page number, or 'w' behind one");
    expect_error(trace_text_file("0 000000000000000000000000000000000000000000000000001"), NULL,
                 ": at byte 2: line 1: '00000000000000000000000000000000', expected a page number, or 'w' "
                 "behind one");
}

static void test_address_width(void **unused)
{
    struct trace_options options = {.format = TRACE_TEXT, .address_bits = 32};

    EXPECT_TEXT(trace_text_file("1048575 1"), &options, "1048575 1");
    expect_error(trace_text_file("1 1048576"), &options,
                 ": at byte 2: page 1048576, expected one that an address of 32 bits can reach");
    options.page_bytes = 8192;
    expect_error(trace_text_file("524288"), &options,
                 ": at byte 0: page 524288, expected one that an address of 32 bits can reach");
    expect_error(trace_text_file("1 4503599627370496"), NULL,
                 ": at byte 2: page 4503599627370496, expected one that an address of 64 bits can reach");
    options.page_bytes = 3000;
    expect_error(trace_text_file("1"), &options, ": pages of 3000 bytes, expected a power of two");
    options = (struct trace_options){.address_bits = 65};
    expect_error(trace_text_file("1"), &options, ": addresses of 65 bits, expected at most 64");
}

/* Words that lie across the edges of what is read at once. */
static void test_text_long(void **unused)
{
    size_t length = 0, count = 0;

    for (; length < sizeof(long_text) - 40; count++)
        length += (size_t)sprintf(long_text + length, "%zu%s", count % 5000 + 1000000,
                                  count % 3 == 2 ? " w\n" : " ");
    const char *path = trace_file("long", long_text, length);
    struct trace_error error;
    struct trace *trace = trace_open(path, NULL, &error);

    assert_non_null(trace);
    for (int pass = 0; pass < 2; pass++) {
        struct whole whole = trace_read_whole(trace);

        assert_true(whole.good);
        assert_int_equal(whole.count, count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(whole.references[i] >> 1, i % 5000);
            assert_int_equal(whole.references[i] & 1, i % 3 == 2);
        }
        free(whole.references);
        assert_true(trace_rewind(trace, &error));
    }
    assert_int_equal(trace_pages(trace), 5000);
    assert_int_equal(trace_page_name(trace, 4999), 1004999);
    trace_close(trace);
}

/* ------------------------------------------------------------------ raw numbers */

static void test_raw64(void **unused)
{
    const uint64_t pages[] = {7, 0x123456789, 7, 3};
    const struct trace_options options = {.format = TRACE_RAW64};

    EXPECT_TEXT(trace_file("raw", pages, sizeof(pages)), NULL, "7 4886718345 7 3");
    expect_error(trace_file("raw", pages, sizeof(pages) - 3), &options,
                 ": at byte 24: the file ends after 5 bytes of a page number, expected 8");
    expect_error(trace_file("raw", pages, 7), &options,
                 ": at byte 0: the file ends after 7 bytes of a page number, expected 8");
}

/* ------------------------------------------------------------------ oracleGeneral */

struct oracle_record {
    uint32_t time;
    uint64_t object;
    uint32_t size;
    int64_t next;
} __attribute__((packed));

static void test_oracle(void **unused)
{
    const struct oracle_record good[] = {
        {5, 70, 512, 3}, {5, UINT64_MAX, 1, -1}, {6, 70, 512, -1}, {6, 9, 0, -1}, {7, 8, 3, INT64_MAX}};
    struct oracle_record bad[5];
    const struct trace_options options = {.format = TRACE_ORACLE};

    _Static_assert(sizeof(good[0]) == 24, "the format's record");
    EXPECT_TEXT(trace_file("x.oracleGeneral.bin", good, sizeof(good)), NULL, "70 18446744073709551615 70 8");
    const char *path = trace_file("o", good, sizeof(good) - 5);

    expect_error(path, &options, ": at byte 96: the file ends after 19 bytes of a record, expected 24");
    path = trace_file("o", good, 48);
    expect_error(
        path, &options,
        ": at byte 48: the file ends after 2 records, expected 3 at least: an object comes again there");
    memcpy(bad, good, sizeof(bad));
    bad[3].time = 4;
    path = trace_file("o", bad, sizeof(bad));
    expect_error(path, &options, ": at byte 72: time 4 behind 6, expected records in the order of time");
    memcpy(bad, good, sizeof(bad));
    bad[1].next = 1;
    path = trace_file("o", bad, sizeof(bad));
    expect_error(path, &options,
                 ": at byte 40: the object of record 2 comes again as record 1, expected a later one");
}

/* ------------------------------------------------------------------ lackey */

static void test_lackey(void **unused)
{
    struct trace_options options = {.format = TRACE_LACKEY};

    EXPECT_TEXT(
        trace_text_file("==12== Lackey\nI  04001000,3\n L 1ffefff000,8\n S 2000,4\n M 3abc,1\n--12-- x\n"),
        NULL, "16385 33550335 2w 3w");
    EXPECT_TEXT(trace_text_file("I  1fff,2\n S 1ffe,4098\n"), NULL, "1 2 1w 2w");
    options.page_bytes = 1024;
    EXPECT_TEXT(trace_text_file(" L 1000,4096\nI  1400,1\n"), &options, "4 5 6 7 5");
    expect_error(trace_text_file("I  1000,3\n X 2000,4\n"), NULL,
                 ": at byte 10: line 2: ' X 2000,4', expected I, L, S or M with ADDRESS,LENGTH");
    expect_error(trace_text_file("I  1000,3\n S 2000,0\n"), NULL,
                 ": at byte 10: line 2: ' S 2000,0', expected I, L, S or M with ADDRESS,LENGTH");
    expect_error(trace_text_file("I  1000,3\n S 2000,12"), NULL,
                 ": at byte 20: the file ends within line 2, expected the rest of it");
    expect_error(trace_text_file("I  1000,3\n S ffffffffffffffff,2\n"), NULL,
                 ": at byte 10: line 2: ' S ffffffffffffffff,2', expected I, L, S or M with ADDRESS,LENGTH");
    expect_error(trace_text_file("I  10000000000000000,3\n"), &options,
                 ": at byte 0: line 1: 'I  10000000000000000,3', expected I, L, S or M with ADDRESS,LENGTH");
    options.address_bits = 32;
    expect_error(trace_text_file("I  fffffffe,3\n"), &options,
                 ": at byte 0: page 4194304, expected one that an address of 32 bits can reach");
    expect_error(trace_text_file("==1== nothing\n"), NULL,
                 ": at byte 14: the file ends without a reference, expected one at least");
}

/* One access may be more references than a block has room for. */
static void test_lackey_wide(void **unused)
{
    const struct trace_options options = {.page_bytes = 1};
    struct trace_error error;
    struct trace *trace = trace_open(trace_text_file("I  0,65536\n S 5,3\n"), &options, &error);
    struct whole whole = trace_read_whole(trace);

    assert_true(whole.good);
    assert_int_equal(whole.count, 65539);
    for (uint32_t i = 0; i < 65536; i++)
        assert_int_equal(whole.references[i], i << 1);
    assert_int_equal(whole.references[65538], 7 << 1 | 1);
    free(whole.references);
    trace_close(trace);
}

/* ------------------------------------------------------------------ CSV */

static void test_csv(void **unused)
{
    struct trace_options options = {.format = TRACE_CSV};

    EXPECT_TEXT(trace_text_file("version,time,op,size,lbn\n1,5,2a,512,700\n1,5,28,512,8\r\n1,6,28,0,9\n"),
                NULL, "700w 8");
    EXPECT_TEXT(trace_text_file("1,70,512\n2.5,0x10,1\n2.50,\"17\",1\n\n"), NULL, "70 16 17");
    EXPECT_TEXT(trace_text_file("time;obj_id\n1; 4 \n1;5"), NULL, "4 5");
    options.csv_columns = "time-col=3, obj-id-col=1, delimiter=,, has-header=true";
    EXPECT_TEXT(trace_text_file("1,2,3\n7,x,1\n8,,2\n"), &options, "7 8");
    options.csv_columns = "obj-id-col=2,delimiter=\\t,has-header=false,obj-id-is-num=false,op-col=1";
    EXPECT_TEXT(trace_text_file("get\ta:b\nset\tc\nget\ta:b\n"), &options,
                "15115370684323742230 11806979466381907949w 15115370684323742230");
}

static void test_csv_wrong(void **unused)
{
    struct trace_options options = {.format = TRACE_CSV};

    expect_error(trace_text_file("1,70,512\n1,x,512\n"), NULL,
                 ": at byte 11: line 2: 'x', expected the number of an object (of other names: "
                 "obj-id-is-num=false)");
    expect_error(trace_text_file("1,70,512\n1,70\n"), NULL,
                 ": at byte 9: line 2 has 2 fields, expected more: the object is the 2. of them");
    expect_error(trace_text_file("5.5,70,512\n5.25,7,1\n"), NULL,
                 ": at byte 11: line 2: time 5 behind 5, expected lines in the order of time");
    expect_error(trace_text_file("y,70,512\n"), NULL, ": at byte 0: line 1: 'y', expected a time");
    expect_error(trace_text_file("1,70,many\n"), NULL, ": at byte 5: line 1: 'many', expected a size");
    expect_error(
        trace_text_file("alpha,beta\n1,2\n"), NULL,
        ": at byte 0: no column of the header is called obj_id, object, id, key, lbn or page; expected "
        "one, or columns such as obj-id-col=2");
    for (const char *const *one = (const char *const[]){"obj-id-col=0", "obj-id-col", "x=1", "delimiter=ab",
                                                        "has-header=maybe", NULL};
         *one; one++) {
        options.csv_columns = *one;
        assert_non_null(
            strstr(trace_as_text(trace_text_file("1,2,3\n"), &options), "', expected time-col=N, "));
    }
    options.csv_columns = "time-col=1";
    expect_error(trace_text_file("1,2,3\n"), &options,
                 ": columns 'time-col=1', expected obj-id-col=N among them");
}

/* What says nothing of itself, in every format: an error, and its place. */
static void test_rubbish(void **unused)
{
    unsigned char bytes[20000];
    struct random random = {3};

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)random_next(&random);
    for (enum trace_format format = TRACE_QUIRE; format <= TRACE_CSV; format++) {
        const struct trace_options options = {.format = format, .address_bits = 48};
        const char *got = trace_as_text(trace_file("rubbish", bytes, sizeof(bytes) - 1), &options);

        assert_non_null(strstr(got, "rubbish: at byte "));
        assert_non_null(strstr(got, "xpected"));
    }
}

static void test_missing(void **unused)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/none", trace_folder());
    expect_error(path, NULL, ": No such file or directory");
    expect_error(trace_folder(), NULL, ": is a folder, expected a trace");
}

static void test_zstd(void **unused)
{
    unsigned char packed[400];
    static const char text[] = "1 2 3 4 1 2 5 1 2 3 4 5";
    size_t count = ZSTD_compress(packed, sizeof(packed), text, strlen(text), 3);
    struct trace_error error;

    EXPECT_TEXT(trace_file("text.zst", packed, count), NULL, text);
    expect_error(trace_file("text.zst", packed, count - 1), NULL,
                 ": at byte 31: the file ends within what zstd has packed, expected the rest of it");
    memset(packed + count, 0x55, 7);
    assert_non_null(strstr(trace_as_text(trace_file("text.zst", packed, count + 7), NULL),
                           "at byte 32: not what zstd has packed"));
    struct trace *trace = trace_open(trace_file("text.zst", packed, count), NULL, &error);

    for (int pass = 0; pass < 2; pass++) {
        struct whole whole = trace_read_whole(trace);

        assert_true(whole.good);
        assert_int_equal(whole.count, 12);
        free(whole.references);
        assert_true(trace_rewind(trace, &error));
    }
    trace_close(trace);
}

/* ------------------------------------------------------------------ our own format */

static uint64_t name_of(uint32_t number)
{
    return number * 977ull + 0x7f0000;
}

/* Pages that come in order, then at random. */
static uint32_t *make_references(size_t count, uint32_t pages)
{
    uint32_t *references = malloc(count * sizeof(*references));
    struct random random = {pages};

    for (size_t i = 0; i < count; i++)
        references[i] = (uint32_t)(i < pages ? i : random_below(&random, pages)) << 1 |
                        (random_next(&random) & 64 ? 1 : 0);
    return references;
}

static void compare(const char *path, const uint32_t *references, size_t count, uint32_t pages)
{
    struct trace_error error;
    struct trace *trace = trace_open(path, NULL, &error);
    struct trace_info info;
    uint64_t writes = 0;

    assert_non_null(trace);
    for (size_t i = 0; i < count; i++)
        writes += references[i] & 1;
    trace_get_info(trace, &info);
    assert_int_equal(info.format, TRACE_QUIRE);
    assert_int_equal(info.page_bytes, 16384);
    assert_int_equal(info.references, count);
    assert_int_equal(info.writes, writes);
    assert_int_equal(info.pages, pages);
    for (int pass = 0; pass < 2; pass++) {
        struct whole whole = trace_read_whole(trace);

        assert_true(whole.good);
        assert_int_equal(whole.count, count);
        assert_memory_equal(whole.references, references, count * sizeof(*references));
        assert_int_equal(trace_pages(trace), pages);
        for (uint32_t page = 0; page < pages; page++)
            assert_int_equal(trace_page_name(trace, page), name_of(page));
        free(whole.references);
        assert_true(trace_rewind(trace, &error));
    }
    trace_close(trace);
}

/* The sizes lead to each encoding (16 bits, a dictionary, 32 bits), and to one block and several. */
static void test_there_and_back(void **unused)
{
    static const struct {
        size_t count;
        uint32_t pages;
    } cases[] = {{1, 1}, {100, 7}, {600000, 32768}, {300000, 32769}, {600000, 100000}, {200000, 200000}};
    char path[200];

    snprintf(path, sizeof(path), "%s/own", trace_folder());
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t *references = make_references(cases[i].count, cases[i].pages);

        trace_write(path, references, cases[i].count, 16384, name_of);
        compare(path, references, cases[i].count, cases[i].pages);
        free(references);
    }
}

/* What was written, in memory: *count bytes that the caller frees. */
static unsigned char *sample(size_t *count)
{
    char path[200];
    uint32_t *references = make_references(5000, 300);
    struct stat info;

    snprintf(path, sizeof(path), "%s/sample", trace_folder());
    trace_write(path, references, 5000, 4096, name_of);
    free(references);
    assert_int_equal(stat(path, &info), 0);
    *count = (size_t)info.st_size;
    unsigned char *bytes = malloc(*count);
    FILE *file = fopen(path, "rb");

    assert_int_equal(fread(bytes, 1, *count, file), *count);
    fclose(file);
    return bytes;
}

/* Cut at every place, as a file and as a stream: never a complete trace, never more than what was there. */
static void test_cut(void **unused)
{
    const struct trace_options options = {.format = TRACE_QUIRE};
    size_t whole;
    unsigned char *bytes = sample(&whole);

    for (size_t count = 0; count < whole; count += count < 120 || count + 200 > whole ? 1 : 61) {
        const char *got = trace_as_text(trace_file("cut", bytes, count), &options);

        assert_non_null(strstr(got, "cut: at byte "));
        if (count < FORMAT_HEAD_BYTES)
            continue;
        size_t packed_bytes = ZSTD_compressBound(count);
        unsigned char *packed = malloc(packed_bytes);

        packed_bytes = ZSTD_compress(packed, packed_bytes, bytes, count, 1);
        got = trace_as_text(trace_file("cut.zst", packed, packed_bytes), &options);
        free(packed);
        assert_non_null(strstr(got, "cut.zst: at byte "));
        assert_non_null(strstr(got, "the file ends"));
    }
    free(bytes);
}

/* No bit of a file can be wrong without being noticed. */
static void test_damage(void **unused)
{
    const struct trace_options options = {.format = TRACE_QUIRE};
    size_t whole;
    unsigned char *bytes = sample(&whole);

    for (size_t bit = 64; bit < whole * 8; bit += 13) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (!strstr(trace_as_text(trace_file("bad", bytes, whole), &options), "bad: at byte "))
            fail_msg("bit %zu was changed, and nobody has seen it", bit);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(bytes);
}

static void test_behind_the_end(void **unused)
{
    const struct trace_options options = {.format = TRACE_QUIRE};
    size_t whole;
    unsigned char *bytes = sample(&whole), *longer = malloc(2 * whole);

    memcpy(longer, bytes, whole);
    memcpy(longer + whole, bytes, whole);
    assert_non_null(strstr(trace_as_text(trace_file("twice", longer, 2 * whole), &options),
                           "bytes behind the trailer, expected the end of the file"));
    free(longer);
    free(bytes);
}

static uint64_t name_itself(uint32_t number)
{
    return number;
}

static void test_larger_pages(void **unused)
{
    const uint32_t references[] = {0, 2, 4, 7, 8, 10, 0, 13, 14, 16};
    struct trace_options options = {.page_bytes = 16384};
    char path[200];

    snprintf(path, sizeof(path), "%s/larger", trace_folder());
    trace_write(path, references, 10, 4096, name_itself);
    EXPECT_TEXT(path, NULL, "0 1 2 3w 4 5 0 6w 7 8");
    EXPECT_TEXT(path, &options, "0 0 0 0w 1 1 0 1w 1 2");
    options.page_bytes = 1024;
    expect_error(path, &options,
                 ": pages of 4096 bytes, expected a page size that is a multiple of it, not 1024");
}

static void test_hash(void **unused)
{
    const uint32_t references[] = {0, 2, 5, 0};
    char path[200];
    struct trace_error error;
    unsigned char hash[32];

    snprintf(path, sizeof(path), "%s/hash", trace_folder());
    trace_write(path, references, 4, 4096, name_itself);
    struct trace *trace = trace_open(path, NULL, &error);

    assert_true(trace_hash(trace, hash, &error));
    hex_equal(hash, 32, "fdee210206fc6eee27669c53d3146a4cfc81a0afe39c44da6546a3c33ba9a067");
    trace_close(trace);
    trace = trace_open(trace_text_file("0 1 2w 0"), NULL, &error);
    assert_true(trace_hash(trace, hash, &error));
    hex_equal(hash, 32, "76bb86068c10634874c8db30baaef0b3c76bf5321dcda4a959c591a5cdfcad85");
    trace_close(trace);
}

/* The old file stays until the new one is complete. */
static void test_writer_fails(void **unused)
{
    const struct trace_writer_options options = {.page_bytes = 4096};
    const uint32_t reference = 0;
    struct trace_error error;
    const char *path = trace_text_file("1 2 3");
    struct trace_writer *writer = writer_create(path, &options, &error);

    assert_non_null(writer);
    assert_false(writer_finish(writer, 0, &error));
    assert_non_null(strstr(error.text, "not written: there is no reference"));
    writer = writer_create(path, &options, &error);
    assert_true(writer_page(writer, 1, &error));
    assert_true(writer_put(writer, &reference, 1, &error));
    writer_abandon(writer);
    EXPECT_TEXT(path, NULL, "1 2 3");
    writer = writer_create("/dev/full", &options, &error);
    assert_null(writer);
    assert_string_equal(error.text, "/dev/full: cannot be written: No space left on device");
    assert_null(writer_create("/none/x", &options, &error));
    assert_string_equal(error.text, "/none/x: cannot be written: No such file or directory");
}

/* ------------------------------------------------------------------ the future */

/* Slow and obvious: looks for the next reference of the same page. */
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
    struct trace_info info;

    assert_non_null(future);
    trace_get_info(future_trace(future), &info);
    assert_int_equal(info.references, count);
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;

        while (future_next(future, &block, &error) && block.count > 0)
            for (size_t i = 0; i < block.count; i++, at++) {
                assert_int_equal(block.references[i], references[at]);
                assert_int_equal(block.distances[i], naive_distance(references, count, at));
            }
        assert_int_equal(at, count);
        assert_true(future_rewind(future, &error));
    }
    future_close(future);
}

static void test_future(void **unused)
{
    const uint32_t textbook[] = {0, 2, 5, 6, 0, 2, 8, 0, 2, 4, 6, 8};
    char path[200];
    uint32_t *references = make_references(700000, 400);

    expect_future(trace_text_file("1 2 3w 4 1 2 5 1 2 3 4 5"), textbook, 12);
    snprintf(path, sizeof(path), "%s/future", trace_folder());
    trace_write(path, references, 700000, 4096, name_of);
    expect_future(path, references, 700000);
    free(references);
    references = make_references(20000, 20000);
    trace_write(path, references, 20000, 4096, name_of);
    expect_future(path, references, 20000);
    free(references);
}

/* Blocks that are cut out of the middle, or a file that ends too early, are seen backwards too. */
static void test_future_damage(void **unused)
{
    struct trace_error error;
    size_t whole;
    unsigned char *bytes = sample(&whole);

    for (size_t bit = (size_t)FORMAT_HEAD_BYTES * 8; bit < whole * 8; bit += 131) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_null(future_open(trace_file("bad", bytes, whole), NULL, &error));
        assert_non_null(strstr(error.text, "bad: at byte "));
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    memmove(bytes + FORMAT_HEAD_BYTES, bytes + whole - FORMAT_TRAILER_BYTES, FORMAT_TRAILER_BYTES);
    assert_null(
        future_open(trace_file("gap", bytes, FORMAT_HEAD_BYTES + FORMAT_TRAILER_BYTES), NULL, &error));
    free(bytes);
}

static int clean_up(void **unused)
{
    trace_folder_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blake2b),
        cmocka_unit_test(test_xxh64),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_wrong),
        cmocka_unit_test(test_text_long),
        cmocka_unit_test(test_address_width),
        cmocka_unit_test(test_raw64),
        cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_lackey),
        cmocka_unit_test(test_lackey_wide),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_csv_wrong),
        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_zstd),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_behind_the_end),
        cmocka_unit_test(test_larger_pages),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_writer_fails),
        cmocka_unit_test(test_future),
        cmocka_unit_test(test_future_damage),
    };

    return cmocka_run_group_tests_name("traces", tests, NULL, clean_up);
}
