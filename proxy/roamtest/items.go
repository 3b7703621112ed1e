package roamtest

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"
)

// maxItem is the largest file that Roam takes.
const maxItem = 10 << 20

// itemUpload takes a raw body, and its name from Content-Disposition.
func (r *Roam) itemUpload(req *http.Request) (int, any) {
	kind := req.Header.Get("Content-Type")
	if !slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp", "application/octet-stream"}, kind) {
		return http.StatusUnsupportedMediaType, problem{"unsupported_media_type", "This Content-Type is not taken."}
	}
	disposition, parameters, err := mime.ParseMediaType(req.Header.Get("Content-Disposition"))
	if err != nil || disposition != "attachment" || parameters["filename"] == "" {
		return http.StatusBadRequest, problem{"missing_filename", "Content-Disposition with a filename is required."}
	}
	sum := sha256.New()
	size, err := io.Copy(sum, io.LimitReader(req.Body, maxItem+1))
	switch {
	case err != nil:
		return http.StatusBadRequest, problem{"incomplete_body", "The body ended early."}
	case size > maxItem:
		return http.StatusRequestEntityTooLarge, problem{"file_too_large", "A file may have 10 MB."}
	}
	what := "photo"
	if kind == "application/octet-stream" {
		what = "blob"
	}
	item := id(hex.EncodeToString(sum.Sum(nil)), 0)
	return http.StatusOK, object{
		"id": item, "type": what, "mime": kind, "created": stamp(time.Now()), "name": parameters["filename"],
		"size": size, "url": "https://files.example.com/" + item,
	}
}
