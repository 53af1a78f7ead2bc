package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

func check(name string) error {
	if !api.LocalPath(name) {
		return errors.New(name + " leads out")
	}
	return nil
}

// packed is a tar file of headers, whose content is their name.
func packed(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte(h.Name))
		}
	}
	w.Close()
	return out.Bytes()
}

func zipped(content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(content)
	w.Close()
	return out.Bytes()
}

// extract unpacks into dir/in, so that dir shows what got out.
func extract(t testing.TB, content []byte, limit int64) (dir string, err error) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(dir+"/in", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir + "/in")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return dir, Extractor{Bytes: limit, Check: check}.Extract(t.Context(), bytes.NewReader(content), root)
}

func TestExtract(t *testing.T) {
	plain := packed(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir}, tar.Header{Name: "./a", Typeflag: tar.TypeReg, Mode: 0o600},
		tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o700}, tar.Header{Name: "d/run", Typeflag: tar.TypeReg, Mode: 0o4755}, tar.Header{Name: "e/f/g", Typeflag: tar.TypeReg})
	for _, content := range [][]byte{plain, zipped(plain)} {
		dir, err := extract(t, content, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]fs.FileMode{"a": 0o644, "d/run": 0o755, "e/f/g": 0o644, "d": fs.ModeDir | 0o755} {
			if info, err := os.Stat(filepath.Join(dir, "in", name)); err != nil || info.Mode() != mode {
				t.Errorf("%s: %v %v", name, info, err)
			}
		}
	}
}

// What an archive must not hold, and what an attacker would put into one.
func TestRefused(t *testing.T) {
	file := tar.Header{Name: "a", Typeflag: tar.TypeReg}
	for name, c := range map[string]struct {
		content []byte
		says    string
	}{
		"parent":        {packed(t, tar.Header{Name: "../x", Typeflag: tar.TypeReg}), "leads out"},
		"hidden parent": {packed(t, tar.Header{Name: "a/../../x", Typeflag: tar.TypeReg}), "leads out"},
		"absolute":      {packed(t, tar.Header{Name: "/x", Typeflag: tar.TypeReg}), "leads out"},
		"link":          {packed(t, tar.Header{Name: "l", Linkname: "..", Typeflag: tar.TypeSymlink}, tar.Header{Name: "l/x", Typeflag: tar.TypeReg}), `"l" is neither a file`},
		"hard link":     {packed(t, file, tar.Header{Name: "l", Linkname: "a", Typeflag: tar.TypeLink}), "neither a file"},
		"device":        {packed(t, tar.Header{Name: "d", Typeflag: tar.TypeChar}), "neither a file"},
		"twice":         {packed(t, file, file), "exists"},
		"file as dir":   {packed(t, file, tar.Header{Name: "a/b", Typeflag: tar.TypeReg}), "file exists"},
		"deep":          {packed(t, tar.Header{Name: strings.Repeat("d/", 40) + "x", Typeflag: tar.TypeReg}), "deep"},
		"bomb":          {zipped(packed(t, tar.Header{Name: strings.Repeat("n", 90) + "/" + strings.Repeat("m", 90), Typeflag: tar.TypeReg}, file, file)), "larger than the limit"},
		"empty":         {packed(t), "empty"},
		"no archive":    {[]byte("<html>not found</html>"), "cannot be read"},
		"cut off":       {zipped(packed(t, file))[:40], "cannot be read"},
		"nothing":       {nil, "empty"},
	} {
		limit := int64(1 << 20)
		if name == "bomb" {
			limit = 9000
		}
		dir, err := extract(t, c.content, limit)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want …%s", name, err, c.says)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%s: got out: %v", name, entries)
		}
	}
}

// Whatever an archive holds, nothing gets out of the directory and no link in.
func FuzzExtract(f *testing.F) {
	f.Add(packed(f, tar.Header{Name: "a/b", Typeflag: tar.TypeReg}))
	f.Add(zipped(packed(f, tar.Header{Name: "l", Linkname: "..", Typeflag: tar.TypeSymlink})))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir, _ := extract(t, content, 1<<16)
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("got out: %v", entries)
		}
		filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.Type()&^fs.ModeDir != 0 {
				t.Errorf("%s: %v %v", name, e, err)
			}
			return nil
		})
	})
}
