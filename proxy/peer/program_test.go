package peer

import (
	"strings"
	"testing"
)

func TestNamesOfPrograms(t *testing.T) {
	for _, tt := range []struct{ command, want string }{
		{"/usr/bin/python3 /app/exporter.py", "exporter.py"},
		{"python3.12 -u -W ignore ./exporter.py --all", "exporter.py"},
		{"python -m standup.bot", "standup.bot"},
		{"python3 -c import_requests", ""},
		{"python3 /usr/bin/gunicorn app:app", "gunicorn"},
		{"python3", ""},
		{"node --require dotenv /srv/bridge.js", "bridge.js"},
		{"node -e code", ""},
		{"deno run --allow-net export.ts", "export.ts"},
		{"ruby -I lib sync.rb", "sync.rb"},
		{"perl -w nightly.pl", "nightly.pl"},
		{"java -cp a.jar:b.jar -Xmx1g com.example.Exporter", "com.example.Exporter"},
		{"java -Dx=y -jar /opt/bridge.jar", "bridge.jar"},
		{"php -d memory_limit=1G report.php", "report.php"},
		{"bash -euo pipefail /etc/cron.daily/export", "export"},
		{"/bin/sh -e nightly.sh", "nightly.sh"},
		{"sh -c curl", ""},
		{"-bash", ""},
		{"busybox sh nightly.sh", "nightly.sh"},
		{"/usr/local/bin/exporter --config x", ""},
	} {
		t.Run(tt.command, func(t *testing.T) {
			if got := scriptOf(strings.Fields(tt.command)); got != tt.want {
				t.Errorf("the script is %q, want %q", got, tt.want)
			}
		})
	}
	for arg, want := range map[string]string{"/usr/bin/exporter": "exporter", "-zsh": "zsh", "gunicorn: worker [app]": "gunicorn",
		"nginx: master": "nginx", "": ""} {
		t.Run("base name of "+arg, func(t *testing.T) {
			if got := baseName(arg); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if got := withDirectory([]string{"python3", "main.py"}, "main.py", "/srv/billing"); got != "billing/main.py" {
		t.Errorf("got %q, want billing/main.py", got)
	}
	if got := withDirectory([]string{"python3", "/main.py"}, "main.py", "/srv/billing"); got != "main.py" {
		t.Errorf("got %q, want main.py", got)
	}
}
