package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// minSecret is the length of the shortest secret that Standard Webhooks allows, in bytes. The library accepts an empty secret, with which
// anyone could sign.
const minSecret = 24

// tolerance is how far a timestamp may be off, as Standard Webhooks recommends.
const tolerance = 5 * time.Minute

// CheckSecret returns why a secret such as whsec_… is unusable, or nil. The error does not show the secret.
func CheckSecret(secret string) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	switch {
	case err != nil:
		return errors.New("webhook: a secret is not base64; copy it from Roam as it is, such as whsec_…")
	case len(key) < minSecret:
		return fmt.Errorf("webhook: a secret has %d bytes, want at least %d", len(key), minSecret)
	}
	return nil
}

// verifiers returns one verifier for each secret in force.
func verifiers(secrets func() ([]string, error)) ([]*standardwebhooks.Webhook, error) {
	all, err := secrets()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("webhook: there is no secret")
	}
	var usable []*standardwebhooks.Webhook
	for _, secret := range all {
		if err := CheckSecret(secret); err != nil {
			return nil, err
		}
		v, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, errors.New("webhook: a secret is unusable")
		}
		usable = append(usable, v)
	}
	return usable, nil
}

// verify returns why a delivery is refused and the status of the answer, or "" for a genuine one. The library compares in constant time.
func (r *Receiver) verify(body []byte, h http.Header) (Result, int) {
	id, seconds := h["Webhook-Id"], h["Webhook-Timestamp"]
	if len(id) != 1 || id[0] == "" || len(id[0]) > maxID || len(seconds) != 1 || len(h["Webhook-Signature"]) != 1 {
		return Malformed, http.StatusBadRequest
	}
	sent, err := strconv.ParseInt(seconds[0], 10, 64)
	if err != nil {
		return Malformed, http.StatusBadRequest
	}
	if off := time.Since(time.Unix(sent, 0)); off > tolerance || off < -tolerance {
		return Outdated, http.StatusBadRequest
	}
	all, err := verifiers(r.o.Secrets)
	if err != nil {
		return Forged, http.StatusUnauthorized // fail closed: without a secret nothing is genuine
	}
	for _, v := range all {
		if v.VerifyIgnoringTimestamp(body, h) == nil { // the timestamp was checked above
			return "", 0
		}
	}
	return Forged, http.StatusUnauthorized
}
