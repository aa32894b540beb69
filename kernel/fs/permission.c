/*
 * Who may do what with a file: the nine bits and the superuser (path_resolution(7)).
 */
#include <linux/errno.h>

#include "kernel/fs/internal.h"

bool process_is_root(void)
{
    struct process *process = process_current();

    return process == NULL || process->uid[CREDENTIAL_EFFECTIVE] == 0;
}

/* `wanted`: MAY_ bits. */
static int attr_permission(const struct vattr *attr, uint32_t uid, uint32_t gid, unsigned wanted)
{
    unsigned mode = attr->mode;

    if (uid == 0) {
        bool executes = (wanted & MAY_EXECUTE) != 0 && (mode & S_IFMT) != S_IFDIR;

        return executes && (mode & 0111) == 0 ? -EACCES : 0;
    }
    if (attr->uid == uid)
        mode >>= 6;
    else if (attr->gid == gid)
        mode >>= 3;
    return (wanted & ~mode & 7) != 0 ? -EACCES : 0;
}

static int permission_as(struct vnode *node, unsigned wanted, unsigned credential)
{
    struct process *process = process_current();
    struct vattr attr;
    int error;

    if (process == NULL)
        return 0;
    error = vnode_getattr(node, &attr);
    if (error != 0)
        return error;
    return attr_permission(&attr, process->uid[credential], process->gid[credential], wanted);
}

int vnode_permission(struct vnode *node, unsigned wanted)
{
    if ((wanted & MAY_WRITE) != 0 && node->mount != NULL && node->mount->read_only &&
        (node->type == S_IFREG || node->type == S_IFDIR || node->type == S_IFLNK))
        return -EROFS;
    if ((wanted & MAY_EXECUTE) == 0 && process_is_root())
        return 0;
    return permission_as(node, wanted, CREDENTIAL_EFFECTIVE);
}

int vnode_permission_real(struct vnode *node, unsigned wanted)
{
    if ((wanted & MAY_WRITE) != 0 && node->mount != NULL && node->mount->read_only &&
        (node->type == S_IFREG || node->type == S_IFDIR || node->type == S_IFLNK))
        return -EROFS;
    return permission_as(node, wanted, CREDENTIAL_REAL);
}

int vnode_owned(struct vnode *node)
{
    struct vattr attr;
    int error;

    if (process_is_root())
        return 0;
    error = vnode_getattr(node, &attr);
    if (error != 0)
        return error;
    return attr.uid == process_current()->uid[CREDENTIAL_EFFECTIVE] ? 0 : -EPERM;
}

int directory_may_remove(struct vnode *dir, struct vnode *node)
{
    struct vattr attr;
    int error = vnode_permission(dir, MAY_WRITE | (process_is_root() ? 0 : MAY_EXECUTE));

    if (error != 0 || process_is_root())
        return error;
    error = vnode_getattr(dir, &attr);
    if (error != 0 || (attr.mode & S_ISVTX) == 0)
        return error;
    if (attr.uid == process_current()->uid[CREDENTIAL_EFFECTIVE])
        return 0;
    return vnode_owned(node);
}
