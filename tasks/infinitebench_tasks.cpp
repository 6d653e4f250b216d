#include "tasks/infinitebench_tasks.h"

#include <algorithm>
#include <array>

namespace namm::tasks {
namespace {

constexpr std::string_view lookup_prompt = "{context}\n\n{input}\nAnswer:";
constexpr std::string_view choice_prompt =
    "{context}\n\nQuestion: {question}\nA. {OPTION_A}\nB. {OPTION_B}\nC. {OPTION_C}\nD. {OPTION_D}\nLetter "
    "of the "
    "right option:";

// name, paper's name, language, generation tokens, choice, records, plain prompt
constexpr std::array all_tasks = {
    InfiniteBenchTask{"passkey", "Retrieve.PassKey", "en", 6, false, 590, lookup_prompt},
    InfiniteBenchTask{"number_string", "Retrieve.Number", "en", 12, false, 590, lookup_prompt},
    InfiniteBenchTask{"kv_retrieval", "Retrieve.KV", "en", 50, false, 500, lookup_prompt},
    InfiniteBenchTask{"longbook_sum_eng", "En.Sum", "en", 1200, false, 103,
                      "{context}\n\nSummary of the text above:"},
    InfiniteBenchTask{"longbook_qa_eng", "En.QA", "en", 40, false, 351,
                      "{context}\n\nQuestion: {question}\nShort answer:"},
    InfiniteBenchTask{"longbook_choice_eng", "En.MC", "en", 40, true, 229, choice_prompt},
    InfiniteBenchTask{"longdialogue_qa_eng", "En.Dia", "en", 40, false, 200,
                      "{context}\n\nName that stands behind $$MASK$$ in the dialogue above:"},
    InfiniteBenchTask{"longbook_qa_chn", "Zh.QA", "zh", 40, false, 175,
                      "{context}\n\n问题：{question}\n简短回答："},
    InfiniteBenchTask{
        "code_debug", "Code.Debug", "code", 5, true, 394,
        "{context}\n\nOne of these functions has an error that ends the program:\nA. {OPTION_A}\nB. "
        "{OPTION_B}\nC. {OPTION_C}\nD. {OPTION_D}\nLetter of the right option:"},
    InfiniteBenchTask{"code_run", "Code.Run", "code", 5, false, 400,
                      "{context}\n\nThe value of {func_call} is"},
    InfiniteBenchTask{"math_calc", "Math.Calc", "math", 30000, false, 50,
                      "{context}\n\nThe value after each operation, as a list: "},
    InfiniteBenchTask{"math_find", "Math.Find", "math", 3, false, 350, lookup_prompt},
};

}  // namespace

std::span<const InfiniteBenchTask> infinitebench_tasks() {
  return all_tasks;
}

const InfiniteBenchTask* find_infinitebench_task(std::string_view name) {
  const auto found = std::ranges::find(all_tasks, name, &InfiniteBenchTask::name);
  return found == all_tasks.end() ? nullptr : &*found;
}

}  // namespace namm::tasks
