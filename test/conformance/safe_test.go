package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const failed = "failed to download file: "

// Whatever the upstream does, the old file stays and nobody is told of success.
func TestSafeFromUpstreams(t *testing.T) {
	if code, body := post(t, "v1", "/safe/page.html"); code != 200 {
		t.Fatalf("%d %q", code, body)
	}
	for _, fault := range []string{"404", "500", "hang", "drip", "short", "broken", "huge"} {
		checkFault(t, "/"+fault+"/page.html")
	}
	for _, to := range []string{"http://169.254.169.254/latest/meta-data", "http://127.0.0.2/x", "http://[::1]/x", "http://[::ffff:127.0.0.2]/x", "http://0x7f000002/x", "http://[fd00:ec2::254]/x", "file:///etc/passwd", "ftp://files.example/x"} {
		checkFault(t, "/to/page.html?url="+url.QueryEscape(to))
	}
}

func checkFault(t *testing.T, path string) {
	t.Helper()
	if code, body := post(t, "v2", path); code != 500 || !strings.HasPrefix(body, failed) {
		t.Errorf("%s: %d %q", path, code, body)
	}
	if got := read(t, "page.html"); got != "content of /safe/page.html" {
		t.Errorf("%s: the file is %.40q", path, got)
	}
}

// No address of the machine itself or of a metadata service, in no spelling.
func TestSafeFromAddresses(t *testing.T) {
	for _, host := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "127.0.0.2", "127.1", "2130706434", "0x7f000002", "[::1]", "[::ffff:7f00:2]", "[::127.0.0.2]", "[64:ff9b::7f00:2]", "0.0.0.0", "me@169.254.169.254", "100.100.100.200"} {
		got := send(t, "POST", "/hot-update", form, url.Values{"version": {"v1"}, "url": {"http://" + host + ":1/x"}}.Encode())
		if got.code != 500 || !strings.HasPrefix(got.body, failed) || strings.Contains(got.body, "connection refused") {
			t.Errorf("%s: %d %q", host, got.code, got.body)
		}
	}
}

func TestSafeFromNames(t *testing.T) {
	for _, path := range []string{"", "/", "/..", "/a/..", "/%2e%2e", "/%00", "/a%0Ab", "/" + strings.Repeat("n", 300)} {
		if code, body := post(t, "v1", path); code != 500 || !strings.HasPrefix(body, failed) {
			t.Errorf("%q: %d %q", path, code, body)
		}
	}
	for _, path := range []string{"../x", "/etc/x", "a/../../x", ".", "a//b"} {
		if code, body := post(t, "v1", "/safe/x", "path", path); code != 400 {
			t.Errorf("path %q: %d %q", path, code, body)
		}
	}
}

// By digest: another is refused, the same is no work, and the answer tells it.
func TestSafeByDigest(t *testing.T) {
	sum := sha256.Sum256([]byte("content of /safe/digest.html"))
	digest := hex.EncodeToString(sum[:])
	for _, force := range []string{"0", "1"} {
		if code, body := post(t, "v1", "/safe/digest.html", "sha256", digest, "force", force); code != 200 || body != success {
			t.Errorf("%d %q", code, body)
		}
	}
	if code, body := post(t, "v2", "/safe/other.html", "sha256", digest); code != 500 || !strings.Contains(body, digest) {
		t.Errorf("another content: %d %q", code, body)
	}
	got := send(t, "POST", "/hot-update", form, "version=v3&url="+url.QueryEscape(files+"/safe/digest.html"), "Accept", "application/json")
	type entry struct{ Path, Version, SHA256, State string }
	var file entry
	want := entry{"digest.html", "v3", digest, "Updated"}
	if err := json.Unmarshal([]byte(got.body), &file); err != nil || got.kind != "application/json" || file != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// 20 at once, read all the while: everyone gets an answer that is true, and the
// file is always one version, whole.
func TestSafeAtOnce(t *testing.T) {
	if code, body := post(t, "v1", "/large/z/once.bin"); code != 200 {
		t.Fatalf("%d %q", code, body)
	}
	var stop atomic.Bool
	var reads, torn int
	var reader, posts sync.WaitGroup
	reader.Go(func() {
		for ; !stop.Load(); reads++ {
			if got := read(t, "once.bin"); len(got) != large || strings.Count(got, got[:1]) != large {
				torn++
			}
		}
	})
	for i := range 20 {
		posts.Go(func() {
			if code, body := post(t, fmt.Sprintf("v%d", i), fmt.Sprintf("/large/%c/once.bin", 'a'+i)); code != 200 || body != success {
				t.Errorf("%d %q", code, body)
			}
		})
	}
	posts.Wait()
	stop.Store(true)
	reader.Wait()
	if torn > 0 || reads < 2 {
		t.Errorf("%d of %d reads torn or missing", torn, reads)
	}
}

func TestSafeFromLargeRequests(t *testing.T) {
	body := "x=" + strings.Repeat("x", 1<<20) + "&version=v1&url=" + url.QueryEscape(files+"/safe/request.html")
	req, err := http.NewRequest("POST", *base+"/hot-update", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", form)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode == 200 {
			t.Error("a request of a megabyte was taken")
		}
	}
	if got := read(t, "request.html"); got != "" {
		t.Errorf("the file is %q", got)
	}
}
