/*
 * See length.h. An instruction is prefixes, an opcode of one of four maps, perhaps a ModRM byte with what it
 * says follows (SIB, displacement), and perhaps an immediate. The maps are told here by what follows their
 * opcodes, in ranges.
 */
#include "length.h"

#include <stdbool.h>

enum follows {
    NOTHING = 0,
    MODRM = 1,
    BYTE = 2,     /* an immediate of 1 byte */
    FULL = 4,     /* of 4 bytes, 2 with prefix 66 */
    TARGET = 8,   /* of 4 bytes, whatever the prefixes */
    WIDE = 16,    /* of 4 bytes; 2 with prefix 66, 8 with REX.W */
    ADDRESS = 32, /* 8 bytes */
    TWO = 64,     /* 2 bytes */
    TEST = 128,   /* as MODRM; and an immediate when its reg field is 0 or 1 */
    WRONG = 256
};

struct opcodes {
    uint8_t first, last;
    uint16_t follows;
};

/* What is in none of these ranges is NOTHING. */
static const struct opcodes one_byte[] = {
    {0x63, 0x63, MODRM},        {0x68, 0x68, FULL},         {0x69, 0x69, MODRM | FULL},
    {0x6a, 0x6a, BYTE},         {0x6b, 0x6b, MODRM | BYTE}, {0x70, 0x7f, BYTE},
    {0x80, 0x80, MODRM | BYTE}, {0x81, 0x81, MODRM | FULL}, {0x82, 0x82, WRONG},
    {0x83, 0x83, MODRM | BYTE}, {0x84, 0x8f, MODRM},        {0x9a, 0x9a, WRONG},
    {0xa0, 0xa3, ADDRESS},      {0xa8, 0xa8, BYTE},         {0xa9, 0xa9, FULL},
    {0xb0, 0xb7, BYTE},         {0xb8, 0xbf, WIDE},         {0xc0, 0xc1, MODRM | BYTE},
    {0xc2, 0xc2, TWO},          {0xc6, 0xc6, MODRM | BYTE}, {0xc7, 0xc7, MODRM | FULL},
    {0xc8, 0xc8, TWO | BYTE},   {0xca, 0xca, TWO},          {0xcd, 0xcd, BYTE},
    {0xd0, 0xd3, MODRM},        {0xd4, 0xd6, WRONG},        {0xd8, 0xdf, MODRM},
    {0xe0, 0xe7, BYTE},         {0xe8, 0xe9, TARGET},       {0xea, 0xea, WRONG},
    {0xeb, 0xeb, BYTE},         {0xf6, 0xf6, TEST | BYTE},  {0xf7, 0xf7, TEST | FULL},
    {0xfe, 0xff, MODRM},
};

/* Behind 0f; what is in none of these ranges is MODRM. */
static const struct opcodes two_bytes[] = {
    {0x05, 0x09, NOTHING},      {0x0b, 0x0b, NOTHING},      {0x0e, 0x0e, NOTHING},
    {0x30, 0x37, NOTHING},      {0x70, 0x73, MODRM | BYTE}, {0x77, 0x77, NOTHING},
    {0x80, 0x8f, TARGET},       {0xa0, 0xa2, NOTHING},      {0xa4, 0xa4, MODRM | BYTE},
    {0xa8, 0xaa, NOTHING},      {0xac, 0xac, MODRM | BYTE}, {0xba, 0xba, MODRM | BYTE},
    {0xc2, 0xc2, MODRM | BYTE}, {0xc4, 0xc6, MODRM | BYTE}, {0xc8, 0xcf, NOTHING},
};

static unsigned find(const struct opcodes *table, size_t count, uint8_t opcode, unsigned standard)
{
    for (size_t i = 0; i < count; i++)
        if (opcode >= table[i].first && opcode <= table[i].last)
            return table[i].follows;
    return standard;
}

#define FIND(table, opcode, standard) find(table, sizeof(table) / sizeof((table)[0]), opcode, standard)

/* Arithmetic: each operation has eight opcodes, of which the last two are prefixes or not of this mode. */
static unsigned follows_arithmetic(uint8_t opcode)
{
    switch (opcode & 7) {
    case 4:
        return BYTE;
    case 5:
        return FULL;
    case 6:
    case 7:
        return WRONG;
    default:
        return MODRM;
    }
}

/* What is read of the instruction. */
struct cursor {
    const uint8_t *code;
    size_t at, most;
    bool wide, small; /* REX.W, prefix 66 */
};

static uint8_t look(const struct cursor *cursor, size_t ahead)
{
    return cursor->at + ahead < cursor->most ? cursor->code[cursor->at + ahead] : 0;
}

static bool is_prefix(uint8_t byte)
{
    return byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 || byte == 0xf3 ||
           (byte & 0xe7) == 0x26 || byte == 0x64 || byte == 0x65;
}

static void skip_prefixes(struct cursor *cursor)
{
    for (; is_prefix(look(cursor, 0)); cursor->at++)
        cursor->small |= look(cursor, 0) == 0x66;
    if ((look(cursor, 0) & 0xf0) == 0x40)
        cursor->wide = (look(cursor, 0) & 8) != 0, cursor->at++;
}

/* ModRM, and the SIB byte and displacement that belong to it. */
static void skip_operand(struct cursor *cursor)
{
    uint8_t modrm = look(cursor, 0), mode = modrm >> 6, base = modrm & 7;

    cursor->at++;
    if (mode == 3)
        return;
    if (base == 4) {
        base = look(cursor, 0) & 7;
        cursor->at++;
    }
    if (mode == 1)
        cursor->at += 1;
    else if (mode == 2 || base == 5)
        cursor->at += 4;
}

/* XOP (AMD's manual, volume 3, 1.2.3): as VEX of three bytes, with maps of its own. */
static bool is_xop(const struct cursor *cursor)
{
    return look(cursor, 0) == 0x8f && (look(cursor, 1) & 0x1f) >= 8;
}

static unsigned follows_xop(struct cursor *cursor)
{
    uint8_t map = look(cursor, 1) & 0x1f;

    cursor->at += 4;
    cursor->small = false;
    return map == 8 ? MODRM | BYTE : map == 9 ? MODRM : MODRM | FULL;
}

/* VEX and EVEX: the map is in the prefix, and so is what would be 66 or REX.W. */
static unsigned follows_vector(struct cursor *cursor)
{
    uint8_t kind = look(cursor, 0), map = kind == 0xc5 ? 1 : look(cursor, 1) & (kind == 0x62 ? 7 : 0x1f);
    uint8_t opcode;

    cursor->at += kind == 0xc5 ? 2 : kind == 0xc4 ? 3 : 4;
    opcode = look(cursor, 0);
    cursor->at++;
    if (map == 1)
        return FIND(two_bytes, opcode, MODRM) & (unsigned)~TARGET;
    return map == 3 ? MODRM | BYTE : MODRM;
}

static unsigned follows_opcode(struct cursor *cursor)
{
    uint8_t opcode = look(cursor, 0);

    if (opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62)
        return follows_vector(cursor);
    if (is_xop(cursor))
        return follows_xop(cursor);
    cursor->at++;
    if (opcode == 0x0f) {
        opcode = look(cursor, 0);
        cursor->at++;
        if (opcode == 0x38 || opcode == 0x3a) {
            cursor->at++;
            return opcode == 0x3a ? MODRM | BYTE : MODRM;
        }
        return FIND(two_bytes, opcode, MODRM);
    }
    return opcode < 0x40 ? follows_arithmetic(opcode) : FIND(one_byte, opcode, NOTHING);
}

static unsigned immediate_bytes(const struct cursor *cursor, unsigned follows)
{
    unsigned full = cursor->small ? 2 : 4, bytes = 0;

    if (follows & BYTE)
        bytes += 1;
    if (follows & TWO)
        bytes += 2;
    if (follows & FULL)
        bytes += full;
    if (follows & TARGET)
        bytes += 4;
    if (follows & WIDE)
        bytes += cursor->wide ? 8 : full;
    if (follows & ADDRESS)
        bytes += 8;
    return bytes;
}

unsigned instruction_length(const uint8_t *code, size_t most)
{
    struct cursor cursor = {.code = code, .most = most};
    unsigned follows;

    skip_prefixes(&cursor);
    follows = follows_opcode(&cursor);
    if (follows & TEST) {
        if ((look(&cursor, 0) >> 3 & 7) > 1)
            follows = MODRM;
        else
            follows |= MODRM;
    }
    if (follows & WRONG)
        return 0;
    if (follows & MODRM)
        skip_operand(&cursor);
    cursor.at += immediate_bytes(&cursor, follows);
    return cursor.at <= most && cursor.at <= INSTRUCTION_LONGEST ? (unsigned)cursor.at : 0;
}
