package gitsource

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// packed is a pack (gitformat-pack(5), version 2) of the objects named, each once and
// none as a difference.
//
// go-git's own packfile.Encoder cannot be told how hard to compress, and at its level
// zlib clears 600 KB before each object: of a commit of 1,000 small files that was
// three quarters of the time. It also writes an object as often as it is named, which
// servers with receive.fsckObjects refuse.
func packed(from storer.EncodedObjectStorer, names []plumbing.Hash) (*bytes.Buffer, error) {
	names = distinct(names)
	var pack bytes.Buffer
	pack.WriteString("PACK")
	pack.Write(binary.BigEndian.AppendUint32(nil, 2))
	pack.Write(binary.BigEndian.AppendUint32(nil, uint32(len(names))))
	squeeze, err := zlib.NewWriterLevel(&pack, zlib.BestSpeed)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := packOne(&pack, squeeze, from, name); err != nil {
			return nil, fmt.Errorf("object %s: %w", name, err)
		}
	}
	sum := sha1.Sum(pack.Bytes())
	pack.Write(sum[:])
	return &pack, nil
}

func packOne(pack *bytes.Buffer, squeeze *zlib.Writer, from storer.EncodedObjectStorer, name plumbing.Hash) error {
	o, err := from.EncodedObject(plumbing.AnyObject, name)
	if err != nil {
		return err
	}
	content, err := o.Reader()
	if err != nil {
		return err
	}
	defer content.Close()
	pack.Write(packHead(o.Type(), o.Size()))
	squeeze.Reset(pack)
	if _, err := io.CopyN(squeeze, content, o.Size()); err != nil {
		return err
	}
	return squeeze.Close()
}

// packHead is an object's kind and size: four bits of the size in the first byte,
// seven in each that follows, and a bit that says whether one does.
func packHead(kind plumbing.ObjectType, size int64) []byte {
	head := []byte{byte(kind)<<4 | byte(size&0xf)}
	for size >>= 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	return head
}

// distinct leaves the first of each.
func distinct(names []plumbing.Hash) (once []plumbing.Hash) {
	seen := map[plumbing.Hash]bool{}
	for _, name := range names {
		if !seen[name] {
			once = append(once, name)
		}
		seen[name] = true
	}
	return once
}
