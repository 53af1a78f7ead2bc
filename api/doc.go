// Package api is the contract between Git, the reconciler, the node agents,
// the sidecars and people: the HotPatch that Git asks for, the HotPatchStatus
// that is committed back, and the annotations through which the programs meet
// on a pod.
//
// It promises strict reading: an unknown field, a wrong type or a value out of
// range is an *Error that names the file, the object and the field, and never
// a half-read object. It imports nothing of ours and talks to nobody.
package api
