package api

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
	versionPattern  = regexp.MustCompile(`^v\d+(?:\.\d+)*$`)
	digestPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	imagePattern    = regexp.MustCompile(`^([a-zA-Z0-9.-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$`)
	revisionPattern = regexp.MustCompile(`^[0-9a-f]{10}$`)
	signalPattern   = regexp.MustCompile(`^SIG(HUP|INT|QUIT|USR1|USR2|TERM|CONT|WINCH|RTMIN(\+\d+)?)$`)
)

// ValidVersion tells whether a file version has the form v1, v1.2, v20261123.
func ValidVersion(v string) bool { return versionPattern.MatchString(v) }

// Validate checks a defaulted HotPatch. It reports everything that is wrong,
// each as an *Error that names file.
func (h HotPatch) Validate(file string) error {
	v := &validation{file: file, object: describe(h.Kind, h.Metadata)}
	v.check(h.APIVersion == APIVersion, "apiVersion", "want %s, got %q", APIVersion, h.APIVersion)
	v.check(h.Kind == KindHotPatch, "kind", "want %s, got %q", KindHotPatch, h.Kind)
	v.check(namePattern.MatchString(h.Metadata.Name), "metadata.name", "want a lower case DNS name, got %q", h.Metadata.Name)
	v.check(namePattern.MatchString(h.Metadata.Namespace), "metadata.namespace", "want a lower case DNS name, got %q", h.Metadata.Namespace)
	_, err := h.Promotion()
	v.check(err == nil, "metadata.annotations["+PromoteAnnotation+"]", "%v", err)
	v.target(h.Spec.Target)
	v.containers(h.Spec.Containers)
	v.files(h.Spec.Files)
	v.rollout(h.Spec.Rollout)
	v.dependsOn(h)
	v.check(h.Spec.OnDelete == "" || h.Spec.OnDelete == DeleteLeave || h.Spec.OnDelete == DeleteRestore, "spec.onDelete", "want Leave or Restore, got %q", h.Spec.OnDelete)
	v.check(len(h.Spec.Containers)+len(h.Spec.Files) > 0, "spec", "asks for nothing: give containers or files")
	return errors.Join(v.errs...)
}

// validation gathers what is wrong with one object.
type validation struct {
	file, object string
	errs         []error
}

func (v *validation) check(ok bool, field, reason string, args ...any) {
	if !ok {
		v.errs = append(v.errs, &Error{File: v.file, Object: v.object, Field: field, Reason: fmt.Sprintf(reason, args...)})
	}
}

func (v *validation) target(t Target) {
	if t.Selector != nil {
		v.check(len(t.Selector.MatchLabels) > 0, "spec.target.selector.matchLabels", "is empty and would select every pod")
		v.check(t.Kind == "" && t.Name == "", "spec.target", "give either a workload (kind, name) or a selector, not both")
		return
	}
	v.check(t.Kind != "", "spec.target.kind", "is missing: name a workload such as Deployment, or give a selector")
	v.check(t.APIVersion != "", "spec.target.apiVersion", "is missing: for a Deployment it is apps/v1")
	v.check(namePattern.MatchString(t.Name), "spec.target.name", "want the workload's name, got %q", t.Name)
}

func (v *validation) containers(containers []Container) {
	seen := map[string]bool{}
	for i, c := range containers {
		field := fmt.Sprintf("spec.containers[%d]", i)
		v.check(c.Name != "", field+".name", "is missing")
		v.check(!seen[c.Name], field+".name", "%q stands here twice", c.Name)
		seen[c.Name] = true
		v.check(imagePattern.MatchString(c.Image), field+".image", "want an image such as registry.example/game:v2, got %q", c.Image)
		for j, p := range c.Carry {
			v.check(p == CarryAll || carriable(p), fmt.Sprintf("%s.carry[%d]", field, j), "want %q, or an absolute path outside /proc, /sys and /dev, got %q", CarryAll, p)
		}
		v.check(c.ImageConfig == "" || c.ImageConfig == ImageConfigWarn || c.ImageConfig == ImageConfigRefuse, field+".imageConfig", "want Warn or Refuse, got %q", c.ImageConfig)
		if c.Reload != nil {
			v.reload(field+".reload", *c.Reload)
		}
	}
}

func (v *validation) reload(field string, r Reload) {
	ways := 0
	for _, given := range []bool{r.Signal != "", len(r.Exec) > 0, r.HTTP != nil} {
		if given {
			ways++
		}
	}
	v.check(ways == 1, field, "give one of signal, exec and http")
	v.check(0 <= r.TimeoutSeconds && r.TimeoutSeconds <= 600, field+".timeoutSeconds", "want 1 to 600, got %d", r.TimeoutSeconds)
	v.check(r.Require == "" || r.Require == RequireNewBinary, field+".require", "want NewBinary, got %q", r.Require)
	if r.HTTP != nil {
		v.check(r.HTTP.Method == "" || r.HTTP.Method == "GET" || r.HTTP.Method == "POST", field+".http.method", "want GET or POST, got %q", r.HTTP.Method)
		v.check(strings.HasPrefix(r.HTTP.Path, "/"), field+".http.path", "want a path that begins with /, got %q", r.HTTP.Path)
		v.check(0 < r.HTTP.Port && r.HTTP.Port < 65536, field+".http.port", "want a port, got %d", r.HTTP.Port)
	}
	v.check(r.Signal == "" || signalPattern.MatchString(r.Signal), field+".signal", "want a signal by name such as SIGHUP, got %q", r.Signal)
	v.check(r.Process == "" || r.Signal != "", field+".process", "is the process to signal, but there is no signal")
}

func carriable(p string) bool {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
		return false
	}
	for _, kernel := range []string{"/proc", "/sys", "/dev"} {
		if p == kernel || strings.HasPrefix(p, kernel+"/") {
			return false
		}
	}
	return true
}

func (v *validation) files(files []File) {
	seen := map[string]bool{}
	for i, f := range files {
		field := fmt.Sprintf("spec.files[%d]", i)
		v.check(LocalPath(f.Path), field+".path", "want a path below the sidecar's directory, got %q", f.Path)
		v.check(!seen[f.Path], field+".path", "%q stands here twice", f.Path)
		seen[f.Path] = true
		v.check(ValidVersion(f.Version), field+".version", "want v1, v1.2 or the like, got %q", f.Version)
		v.check((f.From == "") != (f.URL == ""), field, "give either from (a file of this repository) or url")
		v.check(f.From == "" || LocalPath(f.From) || strings.HasPrefix(f.From, "../"), field+".from", "want a path relative to this file, got %q", f.From)
		v.check(f.SHA256 == "" || digestPattern.MatchString(f.SHA256), field+".sha256", "want 64 hex digits, got %q", f.SHA256)
		if f.URL != "" {
			v.url(field, f)
		}
	}
}

func (v *validation) url(field string, f File) {
	u, err := url.Parse(f.URL)
	v.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", field+".url", "want an http or https URL")
	v.check(err != nil || u.User == nil, field+".url", "must not hold credentials")
	v.check(f.SHA256 != "", field+".sha256", "is needed with url, so that every pod gets the same bytes")
}

func (v *validation) rollout(r Rollout) {
	v.share("partition", r.Partition)
	v.share("maxConcurrent", r.MaxConcurrent)
	v.share("maxUnavailable", r.MaxUnavailable)
	v.steps(r)
	v.order(r.Order)
	v.windows(r.Window)
	v.protect(r.Protect)
	v.check(0 <= r.MinReadySeconds && r.MinReadySeconds <= maxMinReady, "spec.rollout.minReadySeconds", "want 0 to %d, got %d", maxMinReady, r.MinReadySeconds)
	v.check(r.OnFailure == "" || r.OnFailure == FailurePause || r.OnFailure == FailureRollback, "spec.rollout.onFailure", "want Pause or Rollback, got %q", r.OnFailure)
	v.share("failureThreshold", r.FailureThreshold)
	v.check(!r.FailureThreshold.Set || r.FailureThreshold.moves(), "spec.rollout.failureThreshold", "with 0 it would be reached before anything failed")
	v.check(0 <= r.ProgressDeadlineSeconds && r.ProgressDeadlineSeconds <= maxMinReady, "spec.rollout.progressDeadlineSeconds", "want 0 to %d, got %d", maxMinReady, r.ProgressDeadlineSeconds)
	v.analyses(r.Analysis)
	v.check(r.MaxConcurrent.moves(), "spec.rollout.maxConcurrent", "with 0 nothing would ever change; to hold pods back use partition")
	v.check(r.MaxUnavailable.moves(), "spec.rollout.maxUnavailable", "with 0 nothing would ever change; to hold pods back use partition")
}

func (v *validation) order(keys []SortKey) {
	for i, key := range keys {
		field := fmt.Sprintf("spec.rollout.order[%d]", i)
		v.check(slices.Contains(sortKeys, key), field, "want one of %s, got %q", words(sortKeys), key)
		v.check(!slices.Contains(keys[:i], key), field, "%q stands here twice", key)
	}
}

func (v *validation) windows(ws Windows) {
	v.check(ws.wrong == "", "spec.rollout.window", "%s", ws.wrong)
	for i, w := range ws.List {
		field := "spec.rollout.window"
		if len(ws.List) > 1 {
			field += fmt.Sprintf("[%d]", i)
		}
		_, mistakes := w.parse()
		for _, m := range mistakes {
			v.check(false, field+"."+m.field, "%s", m.reason)
		}
	}
}

func words[T ~string](list []T) string {
	var all []string
	for _, one := range list {
		all = append(all, string(one))
	}
	return strings.Join(all, ", ")
}

// maxMinReady is a day: whoever wants pods looked at for longer wants a partition.
const maxMinReady = 24 * 60 * 60

func (v *validation) share(field string, s IntOrPercent) {
	ok := s.wrong == "" && s.Value >= 0 && (!s.Percent || s.Value <= 100)
	v.check(ok, "spec.rollout."+field, `want a number of pods, or "0%%" to "100%%", got %s`, s)
}

// LocalPath tells whether p is a clean relative path that stays below its
// directory.
func LocalPath(p string) bool {
	return p != "" && p != "." && !path.IsAbs(p) && path.Clean(p) == p && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsRune(p, 0)
}
