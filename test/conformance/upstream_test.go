package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const large = 1 << 20 // bytes of /large/LETTER/name: enough to be seen torn

// serve answers /FAULT/more/name as the fault is, and others with their path.
func serve(w http.ResponseWriter, r *http.Request) {
	fault, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch fault {
	case "404":
		http.NotFound(w, r)
	case "500":
		http.Error(w, "oh", http.StatusInternalServerError)
	case "hang":
		<-r.Context().Done()
	case "drip":
		for r.Context().Err() == nil {
			fmt.Fprint(w, ".")
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	case "short":
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "part")
	case "broken":
		fmt.Fprint(w, "part")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "to":
		http.Redirect(w, r, r.URL.Query().Get("url"), http.StatusFound)
	case "huge":
		for range 5 {
			w.Write(make([]byte, 1<<20))
		}
	case "large":
		w.Write(bytes.Repeat([]byte(rest[:1]), large))
	default:
		fmt.Fprint(w, "content of "+r.URL.Path)
	}
}
