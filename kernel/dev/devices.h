/*
 * The devices that the kernel uses: found on the PCI bus and started once.
 */
#ifndef KERNEL_DEVICES_H
#define KERNEL_DEVICES_H

/* Finds and starts the link to the host and the shared folder. After frames_init(), traps_init() and
 * time_init(); needs no scheduler. What is not there, or does not work, is said in the log and left out. */
void devices_init(void);

#endif
