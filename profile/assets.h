/* Files of profile/assets/ as constants, made at build time by tools/embed. The digests are what a content security
 * policy takes: base64 of SHA-256. */
#pragma once
#include <stddef.h>

extern const char asset_svg_css[], asset_svg_js[], asset_html_css[], asset_html_js[];
extern const size_t asset_svg_css_size, asset_svg_js_size, asset_html_css_size, asset_html_js_size;
extern const char asset_html_css_sha256[], asset_html_js_sha256[];
