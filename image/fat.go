package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// makeFAT makes the boot partition's file system with the tree below dir. Names go
// in sorted, so that the result does not depend on the order of a directory.
func makeFAT(ctx context.Context, t *tools, dir, image string, size int64) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	// Clusters of 2 KiB: with larger ones there are too few for FAT32.
	if err := t.run(ctx, "", "mkfs.fat", "-F", "32", "-s", "4", "-i", volumeID, "-n", volumeLabel, "--invariant", image); err != nil {
		return err
	}
	files := map[string][]string{} // by directory
	var dirs []string
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			dirs = append(dirs, rel)
		} else {
			files[filepath.Dir(rel)] = append(files[filepath.Dir(rel)], rel)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := t.run(ctx, dir, "mmd", "-i", image, "::/"+filepath.ToSlash(d)); err != nil {
			return err
		}
	}
	for _, d := range slices.Concat([]string{"."}, dirs) {
		if len(files[d]) == 0 {
			continue
		}
		args := slices.Concat([]string{"-m", "-Q", "-i", image}, files[d], []string{"::/" + filepath.ToSlash(d) + "/"})
		if err := t.run(ctx, dir, "mcopy", args...); err != nil {
			return err
		}
	}
	return nil
}
