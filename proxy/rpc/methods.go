package rpc

// Methods returns the methods of MCP that clients send, in its versions up to 2026-07-28.
func Methods() []string {
	return []string{
		"initialize", "ping", "server/discover",
		"tools/list", ToolCall, "prompts/list", PromptGet,
		"resources/list", resourceRead, "resources/templates/list", "resources/subscribe", "resources/unsubscribe",
		"completion/complete", "logging/setLevel", "subscriptions/listen",
		"tasks/get", "tasks/list", "tasks/result", "tasks/update", "tasks/cancel",
		"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed",
	}
}
