/*
 * Finding and starting the devices.
 */
#include "kernel/dev/devices.h"

#include <linux/virtio_ids.h>

#include "kernel/dev/hostlink_internal.h"
#include "kernel/dev/p9.h"
#include "kernel/dev/virtio_blk.h"

static void start_device(const struct pci_device *pci, void *context)
{
    const char *name;
    int error;

    (void)context;
    if (virtio_is(pci, VIRTIO_ID_CONSOLE)) {
        name = "link to the host";
        error = hostlink_start(pci);
    } else if (virtio_is(pci, VIRTIO_ID_9P)) {
        name = "share";
        error = p9_start(pci);
    } else if (virtio_is(pci, VIRTIO_ID_BLOCK)) {
        name = "disk";
        error = disk_start(pci);
    } else {
        return;
    }
    if (error != 0)
        host_log("%s: device %02x:%02x.%x: not started: error %d", name, pci->bus, pci->slot, pci->function,
                 -error);
}

void devices_init(void)
{
    pci_for_each(start_device, NULL);
}
