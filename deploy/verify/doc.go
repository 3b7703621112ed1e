// Package verify holds what lies in deploy against the programs and types that read it: Kubernetes, docker-compose, Prometheus and
// roamproxy itself. It is a module of its own, so that roamproxy does not depend on their modules. It has tests alone:
//
//	cd deploy/verify && go test ./...
package verify
