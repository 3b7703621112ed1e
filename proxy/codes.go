package proxy

import "roamproxy/proxy/credential"

// Code says why roamproxy itself answered, and not Roam. Tools see it in Roamproxy-Error and in the body; the log, the metrics and
// the status page use the same word.
type Code string

// The codes, each with its meaning in Reasons.
const (
	codeQueueFull    Code = "queue_full"
	codeWaitTooLong  Code = "wait_too_long"
	codePaused       Code = "paused"
	codeBudget       Code = "budget"
	codeTooManyOpen  Code = "too_many_open"
	codeUnauthorized Code = "unauthorized"
	codeNotAllowed   Code = "not_allowed"
	codeBrowser      Code = "browser"
	codeHost         Code = "host"
	codeBadRequest   Code = "bad_request"
	codeBodyTooLarge Code = "body_too_large"
	codeUnsupported  Code = "unsupported"
	codeShuttingDown Code = "shutting_down"

	codeOutcomeUnknown Code = "outcome_unknown"
	codeKeyReused      Code = "key_reused"
	codeInProgress     Code = "in_progress"
	codeAnswerNotKept  Code = "answer_not_kept"

	codeUnreachable  Code = "upstream_unreachable"
	codeTimeout      Code = "upstream_timeout"
	codeCredential   Code = credential.ErrorCode
	codeOnlyIfCached Code = "only_if_cached"
	codeCanceled     Code = "canceled"
)

// Class says why roamproxy itself answered.
type Class int

// The classes of a Reason.
const (
	// ByLimit is a refusal because a limit that tools share is reached: the call was not sent and may be repeated.
	ByLimit Class = iota
	// ByOwnLimit is a refusal because a limit of this one tool is reached, as configured. It may be repeated, too.
	ByOwnLimit
	// ByRule is any other refusal.
	ByRule
	// Failed is no refusal: Roam, the network, the credential or the tool itself ended the call.
	Failed
)

// Reason is what a Code means.
type Reason struct {
	Code  Code
	Class Class
	Text  string // completes the sentence "roamproxy answered 429, …"
}

// Reasons returns every code with its meaning, those by limits first.
func Reasons() []Reason {
	return []Reason{
		{codeQueueFull, ByLimit, "the queue is full (max_queue)"},
		{codeWaitTooLong, ByLimit, "the wait would be too long (max_wait, or Prefer: wait)"},
		{codePaused, ByLimit, "Roam's pause lasts longer than the call may wait"},
		{codeBudget, ByOwnLimit, "its tool has used its calls of the day (calls_per_day)"},
		{codeTooManyOpen, ByOwnLimit, "its tool reads as many answers as it may (upstream.max_open)"},
		{codeUnauthorized, ByRule, "the tool's token is missing or wrong"},
		{codeNotAllowed, ByRule, "the tool may not use this method and path (allow)"},
		{codeBrowser, ByRule, "it came from a web page, and browsers does not name its origin"},
		{codeHost, ByRule, "its Host is not a name of roamproxy (hosts)"},
		{codeBadRequest, ByRule, "the request is malformed or ambiguous"},
		{codeBodyTooLarge, ByRule, "its body is larger than limits.max_body"},
		{codeUnsupported, ByRule, "roamproxy does not support this kind of request"},
		{codeShuttingDown, ByRule, "roamproxy was stopping"},
		{codeOutcomeUnknown, ByRule, "the same write was sent before, and its outcome is unknown"},
		{codeKeyReused, ByRule, "its Idempotency-Key was used for another call"},
		{codeInProgress, ByRule, "the first call with its Idempotency-Key is still in progress"},
		{codeAnswerNotKept, ByRule, "the first answer to its Idempotency-Key is too large to be kept"},
		{codeUnreachable, Failed, "Roam could not be reached, or the connection broke"},
		{codeTimeout, Failed, "Roam did not answer in time"},
		{codeCredential, Failed, "there is no usable credential"},
		{codeOnlyIfCached, Failed, "the tool wanted a cached answer only, and there is no fresh one"},
		{codeCanceled, Failed, "the tool closed the connection"},
	}
}
