package main

import (
	"archive/tar"
	"compress/gzip"
	"debug/buildinfo"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// archived are the files that an archive has beside the program: their names in the archive, and where they are.
func archived(folder, root string) [][2]string {
	return [][2]string{
		{manual, filepath.Join(folder, manual)},
		{"README.md", filepath.Join(root, "README.md")},
		{"CHANGELOG.md", filepath.Join(root, "CHANGELOG.md")},
		{"ARCHITECTURE.md", filepath.Join(root, "ARCHITECTURE.md")},
		{"SECURITY.md", filepath.Join(root, "SECURITY.md")},
		{"deploy/TOOLS.md", filepath.Join(root, "deploy/TOOLS.md")},
		{"deploy/OPERATING.md", filepath.Join(root, "deploy/OPERATING.md")},
		{"config.example.yaml", filepath.Join(root, "config.example.yaml")},
		{"deploy/config.schema.json", filepath.Join(root, "deploy/config.schema.json")},
		{"roamproxy.service", filepath.Join(root, "deploy/systemd/roamproxy.service")},
	}
}

// manual is the name of the manual page, which make release wrote beside the programs.
const manual = "roamproxy.1"

// archive writes PROGRAM.tar.gz with the program and what its user needs, in a folder of the program's name. Times are that of the
// commit, owners are root: the same program and files give the same bytes. root is the repository.
func archive(program, root string, info *buildinfo.BuildInfo) (err error) {
	var commit time.Time
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if commit, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return err
			}
		}
	}
	out, err := os.Create(program + ".tar.gz")
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	compressed, _ := gzip.NewWriterLevel(out, gzip.BestCompression) // the level exists
	files := tar.NewWriter(compressed)
	folder := filepath.Base(program)
	add := func(name, from string, mode fs.FileMode) error {
		file, err := os.Open(from)
		if err != nil {
			return err
		}
		defer file.Close()
		stat, err := file.Stat()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path.Join(folder, name), Mode: int64(mode), Size: stat.Size(), ModTime: commit, Format: tar.FormatPAX}
		if err := files.WriteHeader(header); err != nil {
			return err
		}
		_, err = io.Copy(files, file)
		return err
	}
	if err := add("roamproxy", program, 0o755); err != nil {
		return err
	}
	for _, f := range archived(filepath.Dir(program), root) {
		if err := add(f[0], f[1], 0o644); err != nil {
			return fmt.Errorf("the archive of %s: %w", folder, err)
		}
	}
	if err := files.Close(); err != nil {
		return err
	}
	return compressed.Close()
}
