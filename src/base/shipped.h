/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts that the program gives away, put in at build (cmake/gen-scripts), packed (base/unpack.h). */
#ifndef BASE_SHIPPED_H
#define BASE_SHIPPED_H

#include <stddef.h>

/* share/install.sh: installs this program. */
extern const unsigned char script_install_sh[];
extern const size_t script_install_sh_n;
/* share/get-daytona.sh: installs the daytona command. */
extern const unsigned char script_get_daytona_sh[];
extern const size_t script_get_daytona_sh_n;
/* share/examples.txt: what each help ends with. A line that begins with a blank is an example of the applet above. */
extern const unsigned char script_examples_txt[];
extern const size_t script_examples_txt_n;
/* share/completion.*: they ask the program itself, so they fit whatever version is installed. sh: what the others have in
 * common. */
extern const unsigned char script_completion_sh[], script_completion_bash[],
	script_completion_zsh[], script_completion_fish[];
extern const size_t script_completion_sh_n, script_completion_bash_n, script_completion_zsh_n,
	script_completion_fish_n;

#endif
