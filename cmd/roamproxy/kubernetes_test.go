package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

// manifests decodes every object of a file into Kubernetes' own types, without a key that they do not have.
func manifests(t *testing.T, file string) (all []any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../deploy/kubernetes", file))
	if err != nil {
		t.Fatal(err)
	}
	docs := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(content)))
	buffer := make([]byte, len(content))
	for {
		n, err := docs.Read(buffer)
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		var kind meta.TypeMeta
		if err := strict.Unmarshal(buffer[:n], &kind); err != nil {
			t.Fatal(err)
		}
		into := map[string]any{
			"v1 ConfigMap": &core.ConfigMap{}, "v1 Service": &core.Service{}, "v1 PersistentVolumeClaim": &core.PersistentVolumeClaim{},
			"apps/v1 Deployment": &apps.Deployment{}, "policy/v1 PodDisruptionBudget": &policy.PodDisruptionBudget{},
			"networking.k8s.io/v1 NetworkPolicy": &networking.NetworkPolicy{}, "monitoring.coreos.com/v1 PodMonitor": &monitoring.PodMonitor{},
		}[kind.APIVersion+" "+kind.Kind]
		if into == nil {
			t.Fatalf("%s: there is no type for %+v", file, kind)
		}
		if err := strict.UnmarshalStrict(buffer[:n], into); err != nil {
			t.Errorf("%s: %s: %v", file, kind.Kind, err)
		}
		all = append(all, into)
	}
}

func TestKubernetesManifests(t *testing.T) {
	for _, file := range []string{"sidecar.yaml", "shared.yaml"} {
		var config *core.ConfigMap
		var pod core.PodTemplateSpec
		for _, m := range manifests(t, file) {
			switch m := m.(type) {
			case *core.ConfigMap:
				config = m
			case *apps.Deployment:
				pod = m.Spec.Template
				if !labelled(m.Spec.Selector.MatchLabels, pod.Labels) {
					t.Errorf("%s: the Deployment does not select its own pods", file)
				}
			case *core.Service:
				if !labelled(m.Spec.Selector, pod.Labels) {
					t.Errorf("%s: the Service does not select the pods", file)
				}
			case *policy.PodDisruptionBudget:
				if !labelled(m.Spec.Selector.MatchLabels, pod.Labels) {
					t.Errorf("%s: the PodDisruptionBudget does not select the pods", file)
				}
			case *networking.NetworkPolicy:
				if !labelled(m.Spec.PodSelector.MatchLabels, pod.Labels) {
					t.Errorf("%s: the NetworkPolicy does not select the pods", file)
				}
			case *monitoring.PodMonitor:
				if !labelled(m.Spec.Selector.MatchLabels, pod.Labels) {
					t.Errorf("%s: the PodMonitor does not select the pods", file)
				}
			}
		}
		runs(t, file, config, pod.Spec)
	}
}

// labelled tells whether a selector finds what has these labels, and does select.
func labelled(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// runs holds the pod against what roamproxy needs: its configuration is one that it accepts, its files are where that says, and
// the pod waits for it to end.
func runs(t *testing.T, file string, config *core.ConfigMap, pod core.PodSpec) {
	t.Helper()
	i := slices.IndexFunc(append(pod.InitContainers, pod.Containers...), func(c core.Container) bool { return c.Name == "roamproxy" })
	if i < 0 {
		t.Fatalf("%s: no container is roamproxy", file)
	}
	c := append(pod.InitContainers, pod.Containers...)[i]
	path := filepath.Join(t.TempDir(), "roamproxy.yaml")
	os.WriteFile(path, []byte(config.Data["roamproxy.yaml"]), 0o600)
	l, err := load(path, environ{"STATE_DIRECTORY": "/var/lib/roamproxy"}.get, nil)
	if err != nil {
		t.Fatalf("%s: roamproxy refuses its configuration: %v", file, err)
	}
	for _, needed := range []string{l.StateDir, l.Credentials[0].APIKeyFile, l.Admin.TokenFile, "/etc/roamproxy/roamproxy.yaml"} {
		if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool {
			return m.SubPath == "" && (needed == m.MountPath || strings.HasPrefix(needed, m.MountPath+"/"))
		}) {
			t.Errorf("%s: %s is in no mounted directory", file, needed)
		}
	}
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("%s: there is no volume %s", file, m.Name)
		}
	}
	s := c.SecurityContext
	if s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || *s.RunAsUser != 65532 || !slices.Contains(s.Capabilities.Drop, "ALL") {
		t.Errorf("%s: roamproxy may more than it needs: %+v", file, s)
	}
	if grace := float64(*pod.TerminationGracePeriodSeconds); grace < (secs(l.Limits.ShutdownDelay) + secs(l.Limits.ShutdownGrace)) {
		t.Errorf("%s: the pod is killed after %v s, before roamproxy has stopped", file, grace)
	}
	if sidecar := len(pod.InitContainers) > i; sidecar && (*c.RestartPolicy != core.ContainerRestartPolicyAlways || c.StartupProbe == nil) {
		t.Errorf("%s: a native sidecar has restartPolicy Always and a startup probe", file)
	}
}

func secs(d Duration) float64 { return float64(d) / 1e9 }
