package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"

	settingsyaml "go.yaml.in/yaml/v4"
)

// manifests decodes every object of a file into Kubernetes' own types, without a key that they do not have.
func manifests(t *testing.T, file string) (all []any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../kubernetes", file))
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
		t.Run(file, func(t *testing.T) {
			all := manifests(t, file)
			pods := map[string]core.PodTemplateSpec{} // by the name that all that belongs to them has, too
			var config *core.ConfigMap
			for _, m := range all {
				switch m := m.(type) {
				case *core.ConfigMap:
					config = m
				case *apps.Deployment:
					pods[m.Name] = m.Spec.Template
				}
			}
			for _, m := range all {
				selector, name := selects(m)
				if selector != nil && !labelled(selector, pods[name].Labels) {
					t.Errorf("the %T does not select the pods of %s", m, name)
				}
				for other, pod := range pods {
					if selector != nil && other != name && labelled(selector, pod.Labels) {
						t.Errorf("the %T of %s selects the pods of %s too", m, name, other)
					}
				}
			}
			for _, pod := range pods {
				restricted(t, file, pod.Spec)
				if slices.ContainsFunc(append(pod.Spec.InitContainers, pod.Spec.Containers...), isRoamproxy) {
					runs(t, file, config, pod.Spec)
				}
			}
		})
	}
}

// selects is what a manifest selects pods by, and its name.
func selects(m any) (map[string]string, string) {
	switch m := m.(type) {
	case *apps.Deployment:
		return m.Spec.Selector.MatchLabels, m.Name
	case *core.Service:
		return m.Spec.Selector, m.Name
	case *policy.PodDisruptionBudget:
		return m.Spec.Selector.MatchLabels, m.Name
	case *networking.NetworkPolicy:
		return m.Spec.PodSelector.MatchLabels, m.Name
	case *monitoring.PodMonitor:
		return m.Spec.Selector.MatchLabels, m.Name
	}
	return nil, ""
}

// only is the one manifest of a kind with this name.
func only[M meta.Object](t *testing.T, all []any, name string) (found M) {
	t.Helper()
	for _, m := range all {
		if m, ok := m.(M); ok && m.GetName() == name {
			return m
		}
	}
	t.Fatalf("there is no %T named %s", found, name)
	return found
}

func TestKubernetesReplicasShareOneRedis(t *testing.T) {
	all := manifests(t, "shared.yaml")
	c := configOf(t, only[*core.ConfigMap](t, all, "roamproxy"))
	replicas := only[*apps.Deployment](t, all, "roamproxy").Spec
	if int(*replicas.Replicas) != c.Redis.Replicas || replicas.Strategy.RollingUpdate.MaxSurge.IntValue() != 0 {
		t.Errorf("the Deployment has %d replicas and rolls with %v more, and redis.replicas is %d: want as many, and none more",
			*replicas.Replicas, replicas.Strategy.RollingUpdate.MaxSurge, c.Redis.Replicas)
	}
	if most := only[*policy.PodDisruptionBudget](t, all, "roamproxy").Spec.MaxUnavailable; most.IntValue() != 1 {
		t.Errorf("%v replicas may be away at once, want 1: nodes drain, and tools go on", most)
	}
	redis := only[*apps.Deployment](t, all, "roamproxy-redis").Spec
	if *redis.Replicas != 1 || redis.Strategy.Type != apps.RecreateDeploymentStrategyType {
		t.Errorf("Redis has %d replicas and is replaced by %s: two at once would be two quotas", *redis.Replicas, redis.Strategy.Type)
	}
	service := only[*core.Service](t, all, "roamproxy-redis")
	if want := fmt.Sprintf("redis://%s:%d", service.Name, service.Spec.Ports[0].Port); c.Redis.URL != want {
		t.Errorf("redis.url is %s, and the Service is %s", c.Redis.URL, want)
	}
	for _, v := range redis.Template.Spec.Volumes {
		if v.Secret != nil && (len(v.Secret.Items) != 1 || v.Secret.Items[0].Key != filepath.Base(c.Redis.PasswordFile)) {
			t.Errorf("Redis sees %+v of the secret, want its password alone", v.Secret.Items)
		}
	}
	wall := only[*networking.NetworkPolicy](t, all, "roamproxy-redis").Spec
	sidecar := only[*apps.Deployment](t, manifests(t, "sidecar.yaml"), "app").Spec.Template
	pods := map[string]map[string]string{"a replica": replicas.Template.Labels, "a sidecar": sidecar.Labels, "": {"app": "other"}}
	for name, pod := range pods {
		admitted := slices.ContainsFunc(wall.Ingress[0].From, func(p networking.NetworkPolicyPeer) bool {
			return p.NamespaceSelector == nil && p.PodSelector != nil && labelled(p.PodSelector.MatchLabels, pod)
		})
		if admitted != (name != "") || len(wall.Ingress) != 1 || len(wall.Egress) != 0 {
			t.Errorf("Redis lets in a pod with %v: %v, want roamproxy and nobody else, and nothing out", pod, admitted)
		}
	}
	out := only[*networking.NetworkPolicy](t, all, "roamproxy").Spec
	if !slices.ContainsFunc(out.Egress, func(rule networking.NetworkPolicyEgressRule) bool {
		return len(rule.To) == 1 && labelled(rule.To[0].PodSelector.MatchLabels, redis.Template.Labels)
	}) {
		t.Error("no replica may reach Redis")
	}
}

func isRoamproxy(c core.Container) bool { return c.Name == "roamproxy" }

// settings is what these tests look at of a configuration of roamproxy.
type settings struct {
	Admin struct {
		TokenFile string `yaml:"token_file"`
	}
	Credentials []struct {
		APIKeyFile string `yaml:"api_key_file"`
	}
	Redis struct {
		URL          string
		PasswordFile string `yaml:"password_file"`
		Replicas     int
	}
	Limits struct {
		ShutdownDelay time.Duration `yaml:"shutdown_delay"`
		ShutdownGrace time.Duration `yaml:"shutdown_grace"`
	}
}

// What roamproxy does without a setting, and what the image says.
const (
	defaultGrace = 25 * time.Second
	stateDir     = "/var/lib/roamproxy"
)

// configOf returns the configuration in a ConfigMap, which roamproxy must accept.
func configOf(t *testing.T, m *core.ConfigMap) settings {
	t.Helper()
	content := m.Data["roamproxy.yaml"]
	accepts(t, m.Name, content)
	c := settings{}
	c.Limits.ShutdownGrace = defaultGrace
	if err := settingsyaml.Unmarshal([]byte(content), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// restricted tells whether no container of the pod may do more than it needs.
func restricted(t *testing.T, file string, pod core.PodSpec) {
	t.Helper()
	if !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: the pod may more than it needs: %+v", file, pod.SecurityContext)
	}
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		s := c.SecurityContext
		if s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Contains(s.Capabilities.Drop, "ALL") {
			t.Errorf("%s: %s may more than it needs: %+v", file, c.Name, s)
		}
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
	i := slices.IndexFunc(append(pod.InitContainers, pod.Containers...), isRoamproxy)
	c := append(pod.InitContainers, pod.Containers...)[i]
	l := configOf(t, config)
	const path = "/etc/roamproxy/roamproxy.yaml"
	for _, needed := range []string{stateDir, l.Credentials[0].APIKeyFile, l.Admin.TokenFile, l.Redis.PasswordFile, path} {
		if needed != "" && !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool {
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
	if *c.SecurityContext.RunAsUser != 65532 {
		t.Errorf("%s: roamproxy runs as %d, and the image is made for 65532", file, *c.SecurityContext.RunAsUser)
	}
	if grace := float64(*pod.TerminationGracePeriodSeconds); grace < (l.Limits.ShutdownDelay + l.Limits.ShutdownGrace).Seconds() {
		t.Errorf("%s: the pod is killed after %v s, before roamproxy has stopped", file, grace)
	}
	if sidecar := len(pod.InitContainers) > i; sidecar && (*c.RestartPolicy != core.ContainerRestartPolicyAlways || c.StartupProbe == nil) {
		t.Errorf("%s: a native sidecar has restartPolicy Always and a startup probe", file)
	}
}
