package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// released is a folder with this test as the program, and a page, completed.
func released(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(folder, "program"), program, 0o755)
	os.WriteFile(filepath.Join(folder, "roamproxy.1"), []byte(".TH PAGE 1\n"), 0o644)
	if err := complete(folder, "../.."); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestABillOfMaterialsNamesTheLinkedModules(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(released(t), "program.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(content), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	has := func(name string) (found *cyclonedx.Component) {
		for _, c := range *bom.Components {
			if c.Name == name {
				found = &c
			}
		}
		return found
	}
	library := has("github.com/CycloneDX/cyclonedx-go")
	if library == nil || library.PackageURL != "pkg:golang/"+library.Name+"@"+library.Version || library.Hashes == nil {
		t.Errorf("the library that this test is linked with is %+v, want it with its version and sum", library)
	}
	if std := has("std"); std == nil || !strings.HasPrefix(std.Version, "1.") {
		t.Errorf("Go's own library is %+v, want its version", std)
	}
	if unused := has("k8s.io/api"); unused != nil {
		t.Errorf("%s is in go.mod and not in this program, but in its bill", unused.Name)
	}
	if needs := *bom.Dependencies; len(*needs[0].Dependencies) != len(*bom.Components) || needs[0].Ref != bom.Metadata.Component.BOMRef {
		t.Errorf("the program needs %+v, want every component", needs)
	}
}

// schemas is the folder that stands for where the schemas say they are.
type schemas string

func (folder schemas) Load(address string) (any, error) {
	name := strings.Replace(path.Base(address), "jsf-0.82.schema.", "jsf-0.82.schemax.", 1) // as the folder spells it
	return jsonschema.FileLoader{}.Load("file://" + filepath.Join(string(folder), name))
}

func TestABillOfMaterialsIsCycloneDX(t *testing.T) {
	library, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output() // which has the schemas
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(schemas(filepath.Join(strings.TrimSpace(string(library)), "schema")))
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(released(t), "program.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	bill, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(bill); err != nil {
		t.Error(err)
	}
}

func TestCheckSumsAreOfEveryFile(t *testing.T) {
	folder := released(t)
	if err := complete(folder, "../.."); err != nil { // the check sums that are there are not summed
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(folder, sums))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(list)) {
		names = append(names, strings.Fields(line)[1])
	}
	if got := strings.Join(names, " "); got != "program program.cdx.json program.tar.gz roamproxy.1" {
		t.Errorf("sums are of %s, want of the program, its bill and its archive, and the page", got)
	}
}

// An archive has what its user needs, in one folder, owned by root, and twice the same bytes.
func TestAnArchiveIsCompleteAndReproducible(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(released(t), "program.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(filepath.Join(released(t), "program.tar.gz"))
	if err != nil || !bytes.Equal(content, again) {
		t.Errorf("a second archive of the same has other bytes (%v)", err)
	}
	compressed, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	modes := make(map[string]int64)
	for files := tar.NewReader(compressed); ; {
		header, err := files.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		modes[header.Name] = header.Mode
		if header.Uid+header.Gid != 0 {
			t.Errorf("%s belongs to %d:%d, want root", header.Name, header.Uid, header.Gid)
		}
	}
	want := map[string]int64{
		"program/roamproxy": 0o755, "program/roamproxy.1": 0o644, "program/README.md": 0o644, "program/CHANGELOG.md": 0o644,
		"program/ARCHITECTURE.md": 0o644, "program/SECURITY.md": 0o644, "program/deploy/TOOLS.md": 0o644, "program/deploy/OPERATING.md": 0o644,
		"program/config.example.yaml": 0o644, "program/deploy/config.schema.json": 0o644, "program/roamproxy.service": 0o644,
	}
	if !maps.Equal(modes, want) {
		t.Errorf("it has %v, want %v", modes, want)
	}
}
