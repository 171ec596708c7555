/* page.html as it is, inside the program. */
#include "core/control/http.h"

__asm__(".section .rodata\n"
	"control_page:\n"
	".incbin \"core/control/page.html\"\n"
	"control_page_end:\n"
	".byte 0\n"
	".previous\n");

extern const char control_page[], control_page_end[];

struct str http_page(void)
{
	return str_mem(control_page, (size_t)(control_page_end - control_page));
}
