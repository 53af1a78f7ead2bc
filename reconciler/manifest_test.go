package reconciler

import (
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// What is no secret, as whose signatures count, may be in a ConfigMap. Of two files of
// one name the later source's is mounted: who may write ConfigMaps alone must not
// replace what a Secret has.
func TestCredentialsAreMountedFromBothAndTheSecretCounts(t *testing.T) {
	text, err := os.ReadFile("../manifests/base/reconciler/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict(text, &d); err != nil {
		t.Fatal(err)
	}
	mounted := ""
	for _, mount := range d.Spec.Template.Spec.Containers[0].VolumeMounts {
		if mount.MountPath == "/etc/hotpatch/git" && mount.ReadOnly && mount.SubPath == "" { // a part would not rotate
			mounted = mount.Name
		}
	}
	var sources []corev1.VolumeProjection
	for _, volume := range d.Spec.Template.Spec.Volumes {
		if volume.Name == mounted && volume.Projected != nil {
			sources = volume.Projected.Sources
		}
	}
	if len(sources) != 2 || sources[0].ConfigMap == nil || sources[1].Secret == nil {
		t.Fatalf("want a ConfigMap and then a Secret, got %+v", sources)
	}
	public, secret := sources[0].ConfigMap, sources[1].Secret
	if public.Name != "hotpatch-git" || secret.Name != "hotpatch-git" || public.Optional == nil || !*public.Optional || secret.Optional == nil || !*secret.Optional {
		t.Errorf("want both of them optional, got %+v and %+v", public, secret)
	}
}
