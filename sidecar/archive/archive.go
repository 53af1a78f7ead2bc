// Package archive unpacks tar files of strangers, plain or with gzip.
//
// It promises that all of an archive is unpacked or an error says why not; that
// nothing is written outside the directory given, whatever an archive calls its
// entries; that it holds nothing but files and directories in the end, no links
// and no devices; that its size and number of entries are bounded, packed or
// not; and that all of it is on disk when Extract returns.
package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

const (
	maxEntries             = 10_000
	maxDepth               = 32
	dirMode    fs.FileMode = 0o755
	overhead               = 4 << 10 // bytes that an entry costs besides its content
)

// Extractor unpacks within limits.
type Extractor struct {
	// Bytes unpacked at the most, 4 KiB for each entry included.
	Bytes int64
	// Check says what is wrong with an entry's name.
	Check func(name string) error
}

// Extract unpacks what from holds into an empty directory. After an error the
// directory is worthless.
func (x Extractor) Extract(ctx context.Context, from io.Reader, into *os.Root) error {
	plain, err := unzip(from)
	if err != nil {
		return err
	}
	entries := 0
	for in := tar.NewReader(plain); ; entries++ {
		header, err := in.Next()
		switch {
		case err == io.EOF && entries == 0:
			return errors.New("the archive is empty")
		case err == io.EOF:
			return sync(into)
		case err != nil:
			return fmt.Errorf("the archive cannot be read: %w", err)
		case entries >= maxEntries:
			return fmt.Errorf("the archive has more than %d entries", maxEntries)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if x.Bytes -= header.Size + overhead; x.Bytes < 0 {
			return errors.New("the archive unpacked is larger than the limit for files")
		}
		if err := x.entry(header, in, into); err != nil {
			return err
		}
	}
}

// unzip is the tar file, whether it is compressed or not.
func unzip(from io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(from)
	if magic, _ := buffered.Peek(2); string(magic) != "\x1f\x8b" {
		return buffered, nil
	}
	unzipped, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("the archive cannot be read: %w", err)
	}
	return unzipped, nil
}

func (x Extractor) entry(header *tar.Header, content io.Reader, into *os.Root) error {
	if header.Typeflag == tar.TypeXGlobalHeader { // git archive's commit
		return nil
	}
	name := strings.TrimSuffix(strings.TrimPrefix(header.Name, "./"), "/")
	if header.Typeflag == tar.TypeDir && (name == "" || name == ".") {
		return nil
	}
	if err := x.Check(name); err != nil {
		return fmt.Errorf("the archive has a bad entry: %w", err)
	}
	if strings.Count(name, "/") >= maxDepth {
		return fmt.Errorf("the archive has directories more than %d deep", maxDepth)
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return into.MkdirAll(name, dirMode)
	case tar.TypeReg:
		return write(header, name, content, into)
	}
	return fmt.Errorf("the archive's entry %q is neither a file nor a directory", name)
}

func write(header *tar.Header, name string, content io.Reader, into *os.Root) error {
	if err := into.MkdirAll(path.Dir(name), dirMode); err != nil {
		return err
	}
	f, err := into.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	// Whoever can read the directory is to read its files, as with single ones;
	// of the archive's modes only whether a file is a program counts.
	return errors.Join(err, f.Chmod(0o644|fs.FileMode(header.Mode)&0o111), f.Sync(), f.Close())
}

// sync has the directories on disk.
func sync(into *os.Root) error {
	return fs.WalkDir(into.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		dir, err := into.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	})
}
