package api

import "time"

// Keys on a pod. Who writes what stands beside each.
const (
	// DesiredAnnotation holds a Desired; the reconciler writes it.
	DesiredAnnotation = Group + "/desired"
	// PrepareAnnotation holds a Prepare; the reconciler writes it to one pod
	// of each node ahead of the first swap.
	PrepareAnnotation = Group + "/prepare"
	// OwnerAnnotation holds an Owner; the reconciler writes it with whatever it tells
	// a pod first, and takes it away when it gives the pod up.
	OwnerAnnotation = Group + "/owner"
	// ObservedAnnotation holds an Observed; the node's agent writes it.
	ObservedAnnotation = Group + "/observed"
	// FilesAnnotation holds an ObservedFiles; the pod's sidecar writes it.
	FilesAnnotation = Group + "/files"
	// RevisionLabel is the observed revision, for `kubectl get pods -L`; the
	// agent writes it.
	RevisionLabel = Group + "/revision"
	// UpToDateCondition is the pod condition the agent writes.
	UpToDateCondition = Group + "/UpToDate"
)

// Reasons of events on pods, named as in BCS's HotPatchUpdate.
const (
	EventPatched = "SuccessfulUpdatePodHotPatch"
	EventFailed  = "FailedUpdatePodHotPatch"
)

// Owner is whom a pod follows: no other reconciler tells it anything.
type Owner struct {
	// Namespace of the reconciler, where its Lease is: of those that share one, one
	// works at a time.
	Namespace string `json:"namespace"`
	// HotPatch is the name of the HotPatch in the pod's namespace.
	HotPatch string `json:"hotpatch"`
	// Cluster, its name in the results, and Repo are there for people.
	Cluster string `json:"cluster,omitempty"`
	Repo    string `json:"repo,omitempty"`
}

// Desired is what one pod should run. It is level-triggered: an agent or a
// sidecar that comes back reads it and knows everything.
type Desired struct {
	// HotPatch is the name of the HotPatch in the pod's namespace.
	HotPatch   string             `json:"hotpatch"`
	Revision   string             `json:"revision"`
	Containers []DesiredContainer `json:"containers,omitempty"`
	Files      []DesiredFile      `json:"files,omitempty"`
	// Ready: the pod was Ready when it was told of this revision.
	Ready bool `json:"ready,omitempty"`
	// Reason why the pod was told, in the plan's words.
	Reason string `json:"reason,omitempty"`
}

// CarryAll in a container's carry takes its whole writable layer along.
const CarryAll = "all"

// DesiredContainer is an image by digest ("repo@sha256:…"), or "" for the
// container's own image on its own root with its writes.
type DesiredContainer struct {
	Name        string            `json:"name"`
	Image       string            `json:"image,omitempty"`
	Carry       []string          `json:"carry,omitempty"`
	ImageConfig ImageConfigPolicy `json:"imageConfig,omitempty"`
	Reload      *Reload           `json:"reload,omitempty"`
}

// DesiredFile is a file by the digest of its content. URL is where this
// reconciler or the user serves it; it is not part of the revision.
type DesiredFile struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	URL     string `json:"url,omitempty"`
	// Extract: the content is a tar file, and Path the directory made of it.
	Extract bool `json:"extract,omitempty"`
}

// Prepare asks the node of a pod to have the images of a revision unpacked, and
// looked at, before the first swap.
type Prepare struct {
	Revision   string             `json:"revision"`
	Containers []DesiredContainer `json:"containers"`
}

// State of one container, or of one image on a node.
type State string

// The states. Patched, Reloaded and Restored are good ends.
const (
	// StatePulling: the image is not complete on the node yet.
	StatePulling State = "Pulling"
	// StateReady: the image is unpacked on the node; nothing has been swapped.
	StateReady State = "Ready"
	// StateWaiting: the container does not run now; it is looked at once it does.
	StateWaiting State = "Waiting"
	// StatePatched: the container's root is the image; nobody was to be told.
	StatePatched State = "Patched"
	// StateReloaded: the root is the image and the reload was delivered.
	StateReloaded State = "Reloaded"
	// StateRestored: the container is on its own root with its writes.
	StateRestored State = "Restored"
	// StateFailed: Message says what failed; the agent tries again by itself.
	StateFailed State = "Failed"
)

// Done tells whether a state is a good end.
func (s State) Done() bool {
	return s == StatePatched || s == StateReloaded || s == StateRestored
}

// Observed is what a node's agent read off the node for one pod.
type Observed struct {
	// Revision of the Desired that was acted on. Empty: none yet.
	Revision   string              `json:"revision,omitempty"`
	Containers []ObservedContainer `json:"containers,omitempty"`
	Prepared   []PreparedImage     `json:"prepared,omitempty"`
}

// ObservedContainer is read back from mounts, snapshots and /proc after the
// swap, never copied from what was asked.
type ObservedContainer struct {
	Name string `json:"name"`
	// ContainerID as in the pod's status: "containerd://…".
	ContainerID string `json:"containerID"`
	// Image that the container's root is made of, by digest.
	Image string `json:"image"`
	State State  `json:"state"`
	// OldProcesses still execute a binary of an earlier root.
	OldProcesses int `json:"oldProcesses,omitempty"`
	// StaleDirs counts processes whose working directory, or own root, is on an
	// earlier root.
	StaleDirs int `json:"staleDirs,omitempty"`
	// Ignored names what of the image's configuration the running container does
	// not take: it keeps what its own image gave it.
	Ignored string `json:"ignored,omitempty"`
	// InVain counts patches in a row, to this revision, that came to nothing: the
	// container ended soon after, or did not become the new program.
	InVain int `json:"inVain,omitempty"`
	// Stale names them, with the reason of each. It is text, to be compared.
	Stale string `json:"stale,omitempty"`
	// Time the state was entered, to the second.
	Time    time.Time `json:"time"`
	Message string    `json:"message,omitempty"`
}

// PreparedImage is the state of the image of one container of a Prepare on the
// pod's node.
type PreparedImage struct {
	Container string `json:"container"`
	Image     string `json:"image"`
	State     State  `json:"state"`
	Ignored   string `json:"ignored,omitempty"` // as in ObservedContainer
	Message   string `json:"message,omitempty"`
}

// ObservedFiles is what a sidecar read back from its directory.
type ObservedFiles struct {
	Files []ObservedFile `json:"files"`
}

// FileState is the end of one file update.
type FileState string

// The ends of a file update.
const (
	FileUpdated FileState = "Updated"
	FileFailed  FileState = "Failed"
)

// ObservedFile is one file on disk, by digest, and whether the process was
// told of it.
type ObservedFile struct {
	Path    string    `json:"path"`
	Version string    `json:"version"`
	SHA256  string    `json:"sha256,omitempty"`
	State   FileState `json:"state"`
	Time    time.Time `json:"time"`
	Message string    `json:"message,omitempty"`
}
