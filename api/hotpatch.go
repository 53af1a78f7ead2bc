package api

import "time"

// Names of the API group, its version and kinds.
const (
	Group      = "hotpatch.dev"
	APIVersion = Group + "/v1alpha1"

	KindHotPatch       = "HotPatch"
	KindHotPatchStatus = "HotPatchStatus"
)

// HotPatch says what should run inside the pods of one target, without a
// restart: images per container, files, and how fast.
type HotPatch struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Key is "namespace/name".
func (h HotPatch) Key() string { return h.Metadata.Namespace + "/" + h.Metadata.Name }

// Metadata is the part of Kubernetes' object metadata that Hotpatch reads.
type Metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec is what a HotPatch asks for.
type Spec struct {
	// Target selects the pods.
	Target Target `json:"target"`
	// Containers are the images to put below running processes.
	Containers []Container `json:"containers,omitempty"`
	// Files are the files that the pods' sidecars put in place.
	Files []File `json:"files,omitempty"`
	// Suspend has nothing new start for this HotPatch. What is already asked of
	// pods stays: agents patch them again after restarts.
	Suspend bool `json:"suspend,omitempty"`
	// DependsOn names HotPatches, of this namespace or as namespace/name, that must
	// be Complete before a new revision of this one begins.
	DependsOn []string `json:"dependsOn,omitempty"`
	// Rollout says how many pods change, and how many at once.
	Rollout Rollout `json:"rollout,omitzero"`
	// OnDelete says what becomes of the pods' images when this HotPatch is taken out
	// of Git: Leave (the default) or Restore.
	OnDelete DeletePolicy `json:"onDelete,omitempty"`
}

// DeletePolicy is what becomes of pods whose HotPatch is deleted.
type DeletePolicy string

// The policies. Restore takes containers back to their own images; files stay.
const (
	DeleteLeave   DeletePolicy = "Leave"
	DeleteRestore DeletePolicy = "Restore"
)

// Target is a workload (its pods are found by its selector) or a selector.
type Target struct {
	APIVersion string    `json:"apiVersion,omitempty"`
	Kind       string    `json:"kind,omitempty"`
	Name       string    `json:"name,omitempty"`
	Selector   *Selector `json:"selector,omitempty"`
}

// String names the target as people do: "Deployment game" or "pods app=game".
func (t Target) String() string {
	if t.Selector != nil {
		return "pods " + t.Selector.String()
	}
	return t.Kind + " " + t.Name
}

// Selector selects pods of the HotPatch's namespace by their labels.
type Selector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// Container asks for an image under one running container.
type Container struct {
	// Name of the container in the pod.
	Name string `json:"name"`
	// Image by tag or digest. Resolved to a digest once per revision.
	Image string `json:"image"`
	// Carry lists absolute paths that stay those of the old root, besides
	// /run, /var/run and /tmp, which always do. The word "all" has everything
	// else that the container wrote to its root copied onto the new one.
	Carry []string `json:"carry,omitempty"`
	// ImageConfig says what to do where the new image's configuration
	// (environment, entrypoint, user, …) differs from that of the container's
	// own image, which the running container keeps.
	ImageConfig ImageConfigPolicy `json:"imageConfig,omitempty"`
	// Reload tells the process of the change; nil: nobody is told.
	Reload *Reload `json:"reload,omitempty"`
}

// Pinned is what pods are asked for: the image by digest. What says nothing more
// than the default is left out, as it would make another revision of the same.
func (c Container) Pinned(digest string) DesiredContainer {
	pinned := DesiredContainer{Name: c.Name, Image: digest, Carry: c.Carry, Reload: c.Reload}
	if c.ImageConfig == ImageConfigRefuse {
		pinned.ImageConfig = c.ImageConfig
	}
	return pinned
}

// ImageConfigPolicy is what to do about configuration that will not take effect.
type ImageConfigPolicy string

// The policies; Warn is the default.
const (
	ImageConfigWarn   ImageConfigPolicy = "Warn"
	ImageConfigRefuse ImageConfigPolicy = "Refuse"
)

// Reload is a signal to a process, a command run in the container, or a request
// to one of its ports.
type Reload struct {
	// Signal by name, as in "SIGHUP".
	Signal string `json:"signal,omitempty"`
	// Process is the exact title, argv[0] or command name of the process to
	// signal; empty: the container's first process.
	Process string `json:"process,omitempty"`
	// Exec is a command run in the container instead of a signal.
	Exec []string `json:"exec,omitempty"`
	// HTTP is a request sent to the container instead of a signal.
	HTTP *HTTPReload `json:"http,omitempty"`
	// TimeoutSeconds bounds the command or request, and the wait for what
	// Require asks for; 10 if not given.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
	// Require says what must hold after the reload; else the container goes back
	// to the root it was on.
	Require Requirement `json:"require,omitempty"`
}

// HTTPReload is a request from within the pod; any answer 2xx is good.
type HTTPReload struct {
	// Method is GET (the default) or POST.
	Method string `json:"method,omitempty"`
	// Path begins with /.
	Path string `json:"path"`
	// Port that the container listens on, on localhost too.
	Port int `json:"port"`
}

// Requirement is what a reload must reach.
type Requirement string

// RequireNewBinary: no process executes a file of an earlier root any more.
const RequireNewBinary Requirement = "NewBinary"

// Timeout of a reload.
func (r Reload) Timeout() time.Duration {
	if r.TimeoutSeconds == 0 {
		return 10 * time.Second
	}
	return time.Duration(r.TimeoutSeconds) * time.Second
}

// File asks for one version of one file, put in place by the pod's sidecar.
type File struct {
	// Path below the sidecar's directory.
	Path string `json:"path"`
	// Version as the sidecar takes it: "v1", "v1.2".
	Version string `json:"version"`
	// From is a file of the same repository, below the kustomization. Of a
	// directory all files switch together, and Path is the directory made of them.
	From string `json:"from,omitempty"`
	// URL is where the sidecar downloads the file; needs SHA256.
	URL string `json:"url,omitempty"`
	// SHA256 of the content in hex; computed for From.
	SHA256 string `json:"sha256,omitempty"`
	// Extract: the content is a tar file, plain or with gzip, and Path the
	// directory made of it.
	Extract bool `json:"extract,omitempty"`
}

// SortKey puts pods in order.
type SortKey string

// The keys. A spread takes turns between nodes, or zones; the keys after it say
// which pod of each.
const (
	SortPriority         SortKey = "priority"
	SortOrdinal          SortKey = "ordinal" // the highest first
	SortOrdinalAscending SortKey = "ordinal-ascending"
	SortOldest           SortKey = "oldest"
	SortNewest           SortKey = "newest"
	SortNodeSpread       SortKey = "node-spread"
	SortZoneSpread       SortKey = "zone-spread"
)

// sortKeys are all there are.
var sortKeys = []SortKey{SortPriority, SortOrdinal, SortOrdinalAscending, SortOldest, SortNewest, SortNodeSpread, SortZoneSpread}

// Rollout paces a change.
type Rollout struct {
	// Partition is how many pods stay on the stable revision, after all steps if
	// there are some. Percent rounds up, but less than 100% always lets one pod
	// change.
	Partition IntOrPercent `json:"partition,omitzero"`
	// Steps are the way there, one after the other.
	Steps []Step `json:"steps,omitempty"`
	// MaxConcurrent is how many pods may be changing at once; default 25%,
	// rounded up, at least one.
	MaxConcurrent IntOrPercent `json:"maxConcurrent,omitzero"`
	// MaxUnavailable stops new changes to Ready pods while so many pods are
	// changing or not Ready; default 25%, rounded down, at least one.
	MaxUnavailable IntOrPercent `json:"maxUnavailable,omitzero"`
	// MinReadySeconds is how long a changed pod must have been Ready, and observed
	// on the revision, before another takes its place among those that may be
	// changing at once; default 0.
	MinReadySeconds int `json:"minReadySeconds,omitempty"`
	// Order says which pods change first, by one key after the other. Pods that
	// are not Ready always come before the others; where no key tells two apart,
	// the higher priority does, the higher ordinal, the name.
	Order []SortKey `json:"order,omitempty"`
	// Window is when pods may begin to change, one or several; none: always. What
	// has begun may end outside, and pods may always go back to the stable
	// revision.
	Window Windows `json:"window,omitzero"`
	// OnFailure says what follows when pods have failed: Pause, the default, has
	// each keep its place among those that may be changing, or with a
	// FailureThreshold lets nobody else begin; Rollback takes all pods
	// back to the stable revision.
	OnFailure FailurePolicy `json:"onFailure,omitempty"`
	// FailureThreshold is how many pods must have failed for what OnFailure says. A
	// percentage is rounded up. For a rollback the default is 1, and no more than stop
	// the rollout anyway are needed. With Pause the rollout goes past fewer, and lets
	// nobody else begin from then on.
	FailureThreshold IntOrPercent `json:"failureThreshold,omitzero"`
	// ProgressDeadlineSeconds is how long a pod that was Ready when it was told to
	// change may be not Ready, until it has failed; default 0: forever.
	ProgressDeadlineSeconds int `json:"progressDeadlineSeconds,omitempty"`
	// Analysis is what is measured before, between and after batches of pods, and of
	// each pod. What fails ends the rollout as OnFailure says.
	Analysis []Analysis `json:"analysis,omitempty"`
	// Protect defers pods for as long as any of these is true of them.
	Protect []Protection `json:"protect,omitempty"`
}

// FailurePolicy is what follows when pods, or a gate, have failed.
type FailurePolicy string

// The policies; Pause is the default.
const (
	FailurePause    FailurePolicy = "Pause"
	FailureRollback FailurePolicy = "Rollback"
)

// ProgressDeadline is ProgressDeadlineSeconds.
func (r Rollout) ProgressDeadline() time.Duration {
	return time.Duration(r.ProgressDeadlineSeconds) * time.Second
}

// MinReady is MinReadySeconds.
func (r Rollout) MinReady() time.Duration { return time.Duration(r.MinReadySeconds) * time.Second }
