package runtimetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is what a test image holds besides its program, which answers questions
// unless the image has one of its own.
type Image struct {
	// Base is a tarball of the lowest layer and Start how its program starts;
	// both are empty for the program that answers questions.
	Base  string
	Start v1.ImageConfig
	// Files by path; a value "→ x" makes a symlink to x, and a path ending in
	// / a directory.
	Files map[string]string
	// Layers are further ones of one small file each.
	Layers int
	// Env is what its containers start with.
	Env []string
}

// Import makes an image and has it unpacked; the result is its reference by
// digest.
func (n *Node) Import(name string, image Image) (string, error) {
	blobs, manifest, err := n.layout(image)
	if err != nil {
		return "", err
	}
	ref := name + "@" + manifest.String()
	archive := stream(blobs)
	defer archive.Close()
	if _, err := n.Client.Import(Context(), archive, client.WithIndexName(""), client.WithDigestRef(func(digest.Digest) string { return ref })); err != nil {
		return "", fmt.Errorf("import %s: %w", ref, err)
	}
	loaded, err := n.Client.GetImage(Context(), ref)
	if err != nil {
		return "", err
	}
	return ref, loaded.Unpack(Context(), "overlayfs")
}

// layout is an image as an OCI layout, but for a base that containerd has: bases
// are large, and images share them.
func (n *Node) layout(image Image) (layout, digest.Digest, error) {
	image, err := n.withProgram(image)
	if err != nil {
		return nil, "", err
	}
	image.Start.Env = append(image.Start.Env, image.Env...)
	blobs := layout{}
	base := blobs.add(v1.MediaTypeImageLayer, image.Base)
	if _, err := n.Client.ContentStore().Info(Context(), base.Digest); err == nil {
		delete(blobs, blobPath(base.Digest))
	}
	layers := []v1.Descriptor{base, blobs.layer(image.Files)}
	for i := range image.Layers {
		layers = append(layers, blobs.layer(map[string]string{fmt.Sprintf("layers/%d", i): "here"}))
	}
	config := v1.Image{Platform: v1.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config: image.Start, RootFS: v1.RootFS{Type: "layers"}}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.Digest) // not compressed: the same
	}
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: blobs.json(v1.MediaTypeImageConfig, config), Layers: layers}
	descriptor := blobs.json(v1.MediaTypeImageManifest, manifest)
	index, err := json.Marshal(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{descriptor}})
	if err != nil {
		return nil, "", err
	}
	blobs["index.json"] = string(index)
	blobs["oci-layout"] = `{"imageLayoutVersion":"1.0.0"}`
	return blobs, descriptor.Digest, nil
}

// withProgram gives an image without a program the one that answers questions.
func (n *Node) withProgram(image Image) (Image, error) {
	if image.Base != "" {
		return image, nil
	}
	program, err := os.ReadFile(n.program)
	image.Base = tarball(map[string]string{"server": string(program)})
	image.Start = v1.ImageConfig{Entrypoint: []string{"/server"}, WorkingDir: "/"}
	return image, err
}

// layout is an OCI layout's files.
type layout map[string]string

func (l layout) add(mediaType, content string) v1.Descriptor {
	sum := sha256.New()
	copyInto(sum, content)
	name := digest.NewDigest(digest.SHA256, sum)
	l[blobPath(name)] = content
	return v1.Descriptor{MediaType: mediaType, Digest: name, Size: int64(len(content))}
}

func blobPath(name digest.Digest) string { return "blobs/sha256/" + name.Encoded() }

func (l layout) layer(files map[string]string) v1.Descriptor {
	return l.add(v1.MediaTypeImageLayer, tarball(files))
}

func (l layout) json(mediaType string, value any) v1.Descriptor {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // our own types
	}
	return l.add(mediaType, string(text))
}

// stream packs files while they are read.
func stream(files map[string]string) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(pack(w, files)) }()
	return r
}

// tarball packs files.
func tarball(files map[string]string) string {
	var b bytes.Buffer
	pack(&b, files) // memory takes everything
	return b.String()
}

// pack writes the same files always as the same bytes.
func pack(to io.Writer, files map[string]string) error {
	w := tar.NewWriter(to)
	made := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, dir := range parents(name) {
			if !made[dir] {
				made[dir] = true
				w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
			}
		}
		writeEntry(w, name, files[name])
	}
	return w.Close() // knows of any failure before
}

func writeEntry(w *tar.Writer, name, content string) {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
	if to, ok := strings.CutPrefix(content, "→ "); ok {
		header.Typeflag, header.Linkname, header.Size = tar.TypeSymlink, to, 0
	}
	if strings.HasSuffix(name, "/") {
		return // made as a parent
	}
	w.WriteHeader(header)
	if header.Size > 0 {
		copyInto(w, content)
	}
}

// copyInto writes a long text without a second copy of all of it.
func copyInto(w io.Writer, text string) {
	io.Copy(w, struct{ io.Reader }{strings.NewReader(text)})
}

// parents are the directories above a path, the outermost first.
func parents(name string) []string {
	var dirs []string
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		dirs = append([]string{dir}, dirs...)
	}
	return dirs
}

// sourceDir is where this package's source is.
func sourceDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("the tests' source cannot be found")
	}
	return filepath.Dir(file), nil
}
