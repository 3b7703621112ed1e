// Release completes a folder of programs that were built for a release: beside each it puts an archive and a bill of materials, and
// beside all of them their check sums. It runs in the root of the repository.
//
//	go run ./deploy/release FOLDER
//
// A bill of materials says what the linker recorded in the program itself, so it is of that program and not of go.mod, which
// knows tests and tools too. It has the time of the commit and no other, and no serial number: the same program gives the same
// bytes.
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: release FOLDER")
		os.Exit(2)
	}
	if err := complete(os.Args[1], "."); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// sums is the name of the file of check sums, in the form that sha256sum --check reads.
const sums = "SHA256SUMS"

// complete adds archives and bills of materials, and then the check sums of everything in the folder. root is the repository.
func complete(folder, root string) error {
	programs, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, file := range programs {
		path := filepath.Join(folder, file.Name())
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			continue // a manual page, say
		}
		program, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		bill, err := materials(info, sha256.Sum256(program))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := os.WriteFile(path+".cdx.json", bill, 0o644); err != nil {
			return err
		}
		if err := archive(path, root, info); err != nil {
			return err
		}
	}
	return checkSums(folder)
}

func checkSums(folder string) error {
	files, err := os.ReadDir(folder) // sorted
	if err != nil {
		return err
	}
	var list bytes.Buffer
	for _, file := range files {
		if file.Name() == sums {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(content), file.Name())
	}
	return os.WriteFile(filepath.Join(folder, sums), list.Bytes(), 0o644)
}

// materials is the bill of a program, as CycloneDX 1.6 in JSON.
func materials(info *debug.BuildInfo, sum [sha256.Size]byte) ([]byte, error) {
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	program := component(cyclonedx.ComponentTypeApplication, info.Main.Path, info.Main.Version, sum[:])
	program.Properties = &[]cyclonedx.Property{
		{Name: "platform", Value: settings["GOOS"] + "/" + settings["GOARCH"]},
		{Name: "commit", Value: settings["vcs.revision"]},
	}
	compiler, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	// scanners look for Go's own library under this name
	parts := []cyclonedx.Component{component(cyclonedx.ComponentTypeLibrary, "std", compiler, nil)}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(module.Sum, "h1:"))
		if err != nil {
			return nil, fmt.Errorf("%s has a sum that cannot be read: %w", module.Path, err)
		}
		parts = append(parts, component(cyclonedx.ComponentTypeLibrary, module.Path, module.Version, sum))
	}
	needs := cyclonedx.Dependency{Ref: program.BOMRef, Dependencies: &[]string{}}
	for _, p := range parts {
		*needs.Dependencies = append(*needs.Dependencies, p.BOMRef)
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: settings["vcs.time"], Component: &program}
	bom.Components, bom.Dependencies = &parts, &[]cyclonedx.Dependency{needs}
	var out bytes.Buffer
	err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom,
		cyclonedx.SpecVersion1_6)
	return out.Bytes(), err
}

// component is a module with the sum by which go.sum knows it, or the program with its own; no sum: that of Go's library is not
// recorded.
func component(kind cyclonedx.ComponentType, path, version string, sum []byte) cyclonedx.Component {
	purl := "pkg:golang/" + path + "@" + url.QueryEscape(version)
	c := cyclonedx.Component{BOMRef: purl, Type: kind, Name: path, Version: version, PackageURL: purl}
	if len(sum) > 0 {
		c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	}
	return c
}
