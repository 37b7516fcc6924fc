/* The page's style sheet: see report_page.h. */
#include "report_page.h"

static const char *const rules[] = {
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#59636e;--line:#d9dee3;"
    "--card:#f5f7f9;--accent:#0b57c4;--sot:#2f6fde;--routed:#12907c;--normal:#98a2ad;"
    "--paper:#b9480f;--own:#123f8c;--q0:#cfd5db;--q1:#98a2ad;--q2:#a9c6f7;--q3:#2f6fde;"
    "--q4:#a5ddd1;--q5:#12907c;--q6:#f0d9a0;--q7:#d9a21b;--q8:#c8b3d9}",
    "@media(prefers-color-scheme:dark){:root{--bg:#12161b;--fg:#e4e8ec;--dim:#9aa5b1;"
    "--line:#303943;--card:#1b2128;--accent:#7db0ff;--sot:#5b93f2;--routed:#2fb39c;"
    "--normal:#6d7783;--paper:#f0935b;--own:#a9c8ff;--q0:#454f5a;--q1:#6d7783;--q2:#2c4a7c;"
    "--q3:#5b93f2;--q4:#1c5b51;--q5:#2fb39c;--q6:#5c4a1c;--q7:#c9992f;--q8:#6f5a86}}",
    "*{box-sizing:border-box}html{scroll-behavior:smooth}",
    "body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,-apple-system,"
    "\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif}",
    "main,header,nav{max-width:1120px;margin:0 auto;padding:0 24px}",
    "header{padding-top:36px}h1{font-size:30px;line-height:1.2;margin:0 0 6px}",
    "h2{font-size:24px;margin:44px 0 4px;padding-top:14px;border-top:2px solid var(--line)}",
    "h3{font-size:19px;margin:38px 0 4px}h4{font-size:16px;margin:22px 0 4px}",
    "p{margin:4px 0 12px;max-width:76ch}.dim,figcaption,caption{color:var(--dim)}",
    "nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:10px 0 0;list-style:none}",
    "a{color:var(--accent)}code,pre{font:13px/1.5 ui-monospace,\"SF Mono\",Menlo,Consolas,"
    "\"DejaVu Sans Mono\",monospace}",
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);padding:10px 12px;"
    "border-radius:6px;margin:6px 0}",
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(136px,1fr));gap:12px;"
    "margin:16px 0 8px}",
    ".tile{background:var(--card);border-radius:8px;padding:12px 14px}.tile b{display:block;"
    "font-size:26px;line-height:1.25;font-variant-numeric:tabular-nums}",
    ".tile span{display:block;font-size:13.5px}.tile i{display:block;font-style:normal;"
    "font-size:12.5px;color:var(--paper)}",
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px;margin:10px 0 4px;"
    "font-variant-numeric:tabular-nums}",
    "caption{text-align:left;font-size:13.5px;padding-bottom:6px}",
    "th,td{padding:4px 10px;border-bottom:1px solid var(--line);text-align:left;"
    "vertical-align:top}thead th{border-bottom:2px solid var(--line);vertical-align:bottom;"
    "font-weight:600}tbody th{font-weight:400;white-space:nowrap}td.n,th.n{text-align:right;"
    "white-space:nowrap}",
    "td.paper,th.paper{color:var(--paper)}tr.sum th,tr.sum td{font-weight:600;"
    "border-top:2px solid var(--line)}tr.own th,tr.own td{font-weight:700}",
    "th.group{text-align:center;border-left:1px solid var(--line)}",
    "figure{margin:14px 0 6px}figcaption{font-size:13.5px;max-width:90ch}",
    ".panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(430px,100%),1fr));gap:"
    "6px 30px}",
    ".panels h4{margin:10px 0 0;font-size:14.5px}.panels figure{margin:4px 0}",
    "svg{width:100%;height:auto;display:block;max-width:900px}.panels svg{max-width:600px}",
    "svg text{font:11.5px system-ui,-apple-system,\"Segoe UI\",Roboto,Arial,sans-serif;"
    "fill:var(--fg)}svg .tick{text-anchor:middle;fill:var(--dim)}svg .row{text-anchor:end}",
    "svg .strong{font-weight:700}svg "
    ".value{fill:var(--fg);font-size:10.5px;paint-order:stroke;stroke:var(--bg);stroke-width:3px}"
    "svg .name{"
    "text-anchor:middle;fill:var(--dim)}.grid{stroke:var(--line);fill:none}",
    ".reference{stroke:var(--fg);stroke-dasharray:4 4;fill:none;opacity:.65}"
    ".range{stroke:var(--paper);stroke-width:2;opacity:.45;fill:none}"
    ".paper{fill:var(--bg);stroke:var(--paper);stroke-width:1.8}",
    ".means{stroke:var(--paper);stroke-width:2;fill:none}.dot{fill:var(--sot);fill-opacity:.55}",
    ".c0{fill:var(--sot);background:var(--sot)}.c1{fill:var(--routed);background:var(--routed)}"
    ".c2{fill:var(--normal);background:var(--normal)}rect.own{fill:var(--own)}",
    ".q0{fill:var(--q0);background:var(--q0)}.q1{fill:var(--q1);background:var(--q1)}"
    ".q2{fill:var(--q2);background:var(--q2)}.q3{fill:var(--q3);background:var(--q3)}"
    ".q4{fill:var(--q4);background:var(--q4)}.q5{fill:var(--q5);background:var(--q5)}"
    ".q6{fill:var(--q6);background:var(--q6)}.q7{fill:var(--q7);background:var(--q7)}.q8{fill:var(-"
    "-q8);background:var(--q8)}",
    ".key{display:inline-block;margin-right:14px;white-space:nowrap}.key u{display:inline-block;"
    "width:11px;height:11px;border-radius:2px;margin-right:6px;text-decoration:none}",
    ".key u.diamond{border-radius:0;transform:rotate(45deg) scale(.8);background:var(--bg);"
    "border:2px solid var(--paper)}",
    "details{border-bottom:1px solid var(--line);padding:5px 0}summary{cursor:pointer}"
    "summary .dim{font-size:13.5px}details details{border:0;padding-left:14px}",
    ".matrices{display:flex;flex-wrap:wrap;gap:12px 24px}.matrices th,.matrices td{padding:4px "
    "7px}.matrices td{text-align:right}"
    "td.good{background:color-mix(in srgb,var(--routed) 18%,transparent)}"
    "td.bad{background:color-mix(in srgb,var(--paper) 18%,transparent)}",
    "@media print{details{break-inside:avoid}nav{display:none}}",
};

void report_style(struct text *out)
{
    text_string(out, "<style>\n");
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        text_format(out, "%s\n", rules[i]);
    text_string(out, "</style>\n");
}
