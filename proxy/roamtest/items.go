package roamtest

import (
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"slices"
	"time"
)

// maxItem is the largest file that Roam accepts.
const maxItem = 10 << 20

// itemUpload takes a raw body, and its name from Content-Disposition.
func itemUpload(in *request) (int, any) {
	kind := in.Header.Get("Content-Type")
	if !slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp", "application/octet-stream"}, kind) {
		return http.StatusUnsupportedMediaType, problem{"unsupported_media_type", "This Content-Type is not accepted."}
	}
	disposition, parameters, err := mime.ParseMediaType(in.Header.Get("Content-Disposition"))
	if err != nil || disposition != "attachment" || parameters["filename"] == "" {
		return http.StatusBadRequest, problem{"missing_filename", "Content-Disposition with a filename is required."}
	}
	if len(in.body) > maxItem {
		return http.StatusRequestEntityTooLarge, problem{"file_too_large", "A file may have 10 MB."}
	}
	what := "photo"
	if kind == "application/octet-stream" {
		what = "blob"
	}
	sum := sha256.Sum256(in.body)
	item := id(hex.EncodeToString(sum[:]), 0)
	return http.StatusOK, object{
		"id": item, "type": what, "mime": kind, "created": stamp(time.Now()), "name": parameters["filename"],
		"size": len(in.body), "url": "https://files.example.com/" + item,
	}
}
