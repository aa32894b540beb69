#include "kernel/x86/serial.h"
#include "kernel/x86/x86.h"

enum { COM1 = 0x3f8, DATA = 0, INTERRUPTS = 1, FIFO = 2, LINE = 3, MODEM = 4, LINE_STATUS = 5 };
enum { LINE_8N1 = 3, LINE_DIVISOR = 0x80, FIFO_ON = 7, MODEM_READY = 3, STATUS_EMPTY = 0x20 };

/* Far more looks than a real port at 115200 baud needs for one character. */
enum { LOOKS_MAX = 100000 };

void serial_init(void)
{
    outb(COM1 + INTERRUPTS, 0);
    outb(COM1 + LINE, LINE_DIVISOR);
    outb(COM1 + DATA, 1); /* 115200 baud */
    outb(COM1 + INTERRUPTS, 0);
    outb(COM1 + LINE, LINE_8N1);
    outb(COM1 + FIFO, FIFO_ON);
    outb(COM1 + MODEM, MODEM_READY);
}

void serial_write(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        for (int looks = 0; looks < LOOKS_MAX && (inb(COM1 + LINE_STATUS) & STATUS_EMPTY) == 0; looks++)
            ;
        outb(COM1 + DATA, (uint8_t)text[i]);
    }
}
