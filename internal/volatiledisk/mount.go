package volatiledisk

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// FileName is the disk's name in the directory where it is mounted.
const FileName = "disk"

// A Mount is a disk that shows as a file, for a loop device.
type Mount struct{ server *fuse.Server }

// MountAt mounts a file system with the disk as its only file.
func (d *Disk) MountAt(dir string) (*Mount, error) {
	server, err := fs.Mount(dir, &root{disk: d}, &fs.Options{MountOptions: fuse.MountOptions{
		FsName: "volatiledisk", Name: "volatiledisk", DirectMountStrict: true, MaxWrite: 128 << 10, DisableXAttrs: true,
	}})
	if err != nil {
		return nil, err
	}
	return &Mount{server}, nil
}

// Close unmounts the file system, which nobody may use any more.
func (m *Mount) Close() error { return m.server.Unmount() }

type root struct {
	fs.Inode
	disk *Disk
}

// OnAdd implements fs.NodeOnAdder.
func (r *root) OnAdd(ctx context.Context) {
	r.AddChild(FileName, r.NewPersistentInode(ctx, &file{disk: r.disk}, fs.StableAttr{Mode: syscall.S_IFREG}), true)
}

// A file is the disk as the kernel sees it.
type file struct {
	fs.Inode
	disk *Disk
}

var (
	_ fs.NodeOnAdder   = (*root)(nil)
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
)

// Getattr implements fs.NodeGetattrer.
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, uint64(f.disk.Size())
	return 0
}

// Setattr implements fs.NodeSetattrer: nothing changes.
func (f *file) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

// Open implements fs.NodeOpener. The kernel must not keep pages of its own.
func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Read implements fs.NodeReader.
func (f *file) Read(_ context.Context, _ fs.FileHandle, p []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, err := f.disk.ReadAt(p, off)
	return fuse.ReadResultData(p[:n]), errno(err)
}

// Write implements fs.NodeWriter.
func (f *file) Write(_ context.Context, _ fs.FileHandle, p []byte, off int64) (uint32, syscall.Errno) {
	n, err := f.disk.WriteAt(p, off)
	return uint32(n), errno(err)
}

// Fsync implements fs.NodeFsyncer: the loop device passes a flush on as this.
func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return errno(f.disk.Flush())
}

func errno(err error) syscall.Errno {
	if err != nil {
		return syscall.EIO
	}
	return 0
}
