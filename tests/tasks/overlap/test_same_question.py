"""Which questions are the same in other words, and which differ in a word that matters: a table of pairs by hand."""

# ruff: noqa: RUF001 - full-width punctuation and Cyrillic letters are meant

import time
import unicodedata

import pytest

from tasks.overlap import Passage, TrainingIndex
from tasks.overlap.same_question import compare_questions, shared_words

METFORMIN = "Does metformin reduce mortality in heart failure?"
ADMITTED = (
    "A 62-year-old farmer is admitted with three days of fever, productive cough and pain on the right side of his"
    " chest. He smokes and takes lisinopril for hypertension. Breath sounds are reduced at the right base, his"
    " saturation is low and a radiograph shows lobar consolidation with a small effusion."
)
SAME = [
    ("What causes gout?", "What causes gout"),
    ("What causes gout?", "what is the cause of gout?"),
    ("What causes gout?", "What usually causes gout?"),
    ("How is acute gout treated?", "How is acute gout best treated?"),
    (METFORMIN, "does metformin reduce the mortality in heart failure?"),
    (METFORMIN, "Can metformin reduce mortality in patients with heart failure?"),
    (METFORMIN, "Does metformin reduce mortality of heart failure patients?"),
    (METFORMIN, "In heart failure, does metformin reduce mortality?"),
    (METFORMIN, "Does metfromin reduce mortality in heart failure?"),
    (METFORMIN, "Does metformin reduces mortality in heart failures?"),
    (METFORMIN, "Does metformine reduce mortality in heart failure?"),
    (METFORMIN, "Does metformin reduce mortality in heart failure reportedly?"),
    ("What is the treatment of choice for acute gout?", "What is the drug treatment of choice for acute gout?"),
    ("Which drug is first-line for hypertension?", "Which drug is the firstline for hypertensoin?"),
    ("Which drug is first-line for hypertension?", "Which drug is first line for hypertension?"),
    ("Is haemoglobin low in anaemia of pregnancy?", "Is hemoglobin low in anemia of pregnancy?"),
    ("Do tumours of the oesophagus metastasise?", "Do tumors of the esophagus metastasize?"),
    ("Is 5 mg of warfarin enough?", "Is 5mg of warfarin enough?"),
    ("Which nerve is injured in wrist drop?", "Which nerve was injured in wrist drop?"),
    ("Why can't aspirin be given to children?", "Why cannot aspirin be given to children?"),
    ("What is the patient's most likely diagnosis of the rash?", "What is the most likely diagnosis of the rash?"),
    ("A sixty year old man has a low potassium level, what may be the cause of it?",
     "A sixty-five year old man has a low potassium level, what may be the cause of it?"),
    ("A 60-year-old man has gout. Which drug is best?", "A 47-year-old man has gout. Which drug is best?"),
    ("Does Sjögren syndrome affect the salivary glands?", "Does Sjogren syndrome affect the salivary glands?"),
    ("Which vitamin is deficient in scurvy? A. Vitamin A B. Vitamin C C. Vitamin D",
     "Which vitamin is deficient in scurvy? A. Vitamin D B. Vitamin A C. Vitamin C"),
    ("Which drug lowers urate?\nA) colchicine\nB) allopurinol\nC) naproxen",
     "Which drug lowers urate? (A) naproxen (B) colchicine (C) allopurinol"),
    ("Which drug lowers urate? 1. colchicine 2. allopurinol", "Which drug lowers urate? A: allopurinol B: colchicine"),
    ("Which drug lowers urate? A. colchicine B. allopurinol", "Which drug lowers urate?"),
    (f"{ADMITTED} What is the most likely organism?",
     f"{ADMITTED.replace('farmer', 'teacher').replace('saturation', 'oxygenation')} Which organism is most likely?"),
    ("Which drug lowers urate?\n- colchicine\n- allopurinol\n- zinc",
     "Which drug lowers urate?\n* zinc\n* allopurinol\n* colchicine"),
    ("Which drug lowers urate? Options: zinc, allopurinol, iron",
     "Which drug lowers urate? Choices: iron; allopurinol; zinc"),
    # Other languages.
    ("고혈압 환자에게 어떤 약을 사용합니까?", "고혈압 환자는 어떤 약을 사용합니까?"),
    ("痛风急性期首选什么药？选项：秋水仙碱、别嘌醇、青霉素", "痛风急性期首选什么药？选项：青霉素、秋水仙碱、别嘌醇"),
    ("Quel est le traitement de l'asthme aigu ?", "Quel est le traitement d'un asthme aigu ?"),
    ("¿Cuál es el tratamiento de la gota aguda?", "Cual es el tratamiento de gota aguda"),
    ("Welche Therapie ist bei akuter Gicht die beste?", "Welche Therapie ist bei der akuten Gicht die beste?"),
    ("糖尿病患者出现手足发麻应当做什么检查？", "糖尿病患者出现手足发麻应该做哪些检查？"),
    ("六十岁的男性高血压患者血钾偏低，可能的原因是什么？", "六十八岁的男性高血压病人血钾偏低，可能是什么原因？"),
    ("老年人跌倒后髋部疼痛，首先考虑什么诊断？", "老年人跌倒后髋部疼痛，最先考虑什么诊断？"),
    ("青霉素过敏的孕妇患梅毒时如何治疗？", "青霉素过敏的孕妇患梅毒时应怎样治疗"),
    ("慢性肾脏病患者能否使用二甲双胍？", "慢性肾脏病病人可以使用二甲双胍吗？"),
    ("急性胰腺炎的首选检查是什么？Ａ．血淀粉酶　Ｂ．腹部超声", "急性胰腺炎的首选检查是什么？A.腹部超声 B.血淀粉酶"),
    ("高血圧の患者にはどのような薬が第一選択ですか？", "高血圧の患者に対してどんな薬が第一選択でしょうか。"),
    ("アスピリンは脳梗塞の再発を予防しますか？", "ｱｽﾋﾟﾘﾝは脳梗塞の再発を予防するか"),
    ("Какое лечение показано больному с инфарктом миокарда?", "Какое лечение показано больным при инфаркте миокарда?"),
    ("ما هو علاج ارتفاع ضغط الدم عند الحوامل؟", "ما هو العلاج لارتفاع ضغط الدم عند الحوامل"),
    ("ما هِيَ أعراض الرَّبو؟", "ما هي أعراض الربو؟"),
    ("ผู้ป่วยเบาหวานที่มีไตวายควรใช้ยาอะไร", "ผู้ป่วยเบาหวานที่มีไตวายต้องใช้ยาอะไร"),
]  # fmt: skip
DIFFERENT = [
    (METFORMIN, "Does aspirin reduce mortality in heart failure?"),
    (METFORMIN, "Does metformin reduce mortality in renal failure?"),
    (METFORMIN, "Does metformin increase mortality in heart failure?"),
    (METFORMIN, "Does metformin not reduce mortality in heart failure?"),
    (METFORMIN, "Does metformin reduce mortality in children with heart failure?"),
    (METFORMIN, "Does metformin and insulin reduce mortality in heart failure?"),
    (METFORMIN, "Does metformin reduce readmission in heart failure?"),
    (METFORMIN, "Why does heart failure occur?"),
    ("What is gout?", "What is lupus?"),
    ("What is gout?", "What is gout surgery?"),
    ("What causes gout?", "What prevents gout?"),
    ("Is aspirin safe in pregnancy?", "Is aspirin safe before pregnancy?"),
    ("Is aspirin safe in adults?", "Is aspirin safe in children?"),
    ("Is aspirin safe in adults?", "Is aspirin unsafe in adults?"),
    ("Does depression cause obesity?", "Does obesity cause depression?"),
    ("Is aspirin better than heparin?", "Is heparin better than aspirin?"),
    ("Does hypertension raise the risk of stroke?", "Does hypotension raise the risk of stroke?"),
    ("What are signs of hyperkalemia on the ECG?", "What are signs of hypokalemia on the ECG?"),
    ("What is typical of asymptomatic pneumonia?", "What is typical of symptomatic pneumonia?"),
    ("Is typical pneumonia treated with amoxicillin?", "Is atypical pneumonia treated with amoxicillin?"),
    ("Which muscle is tested by abduction of the arm?", "Which muscle is tested by adduction of the arm?"),
    ("Which tumour causes dysphagia?", "Which tumour causes dysphasia?"),
    ("Where does the ileum end?", "Where does the ilium end?"),
    ("Is 5 mg of warfarin enough?", "Is 10 mg of warfarin enough?"),
    ("Is a dose of 2.5 mg enough?", "Is a dose of 25 mg enough?"),
    ("How is type 1 diabetes treated?", "How is type 2 diabetes treated?"),
    ("How is hepatitis A prevented?", "How is hepatitis B prevented?"),
    ("Which foods hold vitamin A?", "Which foods hold vitamin D?"),
    ("Is factor VIII low in haemophilia?", "Is factor IX low in haemophilia?"),
    ("Is surgery better in the first trimester?", "Is surgery better in the second trimester?"),
    ("Is a TSH < 0.1 a sign of thyroid disease?", "Is a TSH > 0.1 a sign of thyroid disease?"),
    ("Which lobe is affected in left neglect?", "Which lobe is affected in right neglect?"),
    ("Why isn't aspirin given to children with fever?", "Why is aspirin given to children with fever?"),
    ("Is screening useful in women older than 50 years?", "Is screening useful in women older than 70 years?"),
    ("Which is a beta blocker? A. atenolol B. amlodipine", "Which is a beta blocker? A. sotalol B. losartan"),
    ("Which of the following is true? A. Zinc is a metal B. Iron is a gas", "Which of the following is true?"),
    (f"{ADMITTED} What is the most likely organism?", f"{ADMITTED} Which antibiotic should be avoided?"),
    ("Which drug lowers urate? Options: zinc, iron", "Which drug lowers urate? Options: zinc, allopurinol"),
    # Other languages.
    ("고혈압 환자에게 어떤 약을 사용합니까?", "당뇨병 환자에게 어떤 약을 사용합니까?"),
    ("Quel est le traitement de l'asthme ?", "Quel est le traitement de la goutte ?"),
    ("二甲双胍能否降低心力衰竭患者的死亡率？", "阿司匹林能否降低心力衰竭患者的死亡率？"),
    ("肺炎患者应该怎样治疗？", "肝炎患者应该怎样治疗？"),
    ("血钾偏低的常见原因有哪些？", "血钾偏高的常见原因有哪些？"),
    ("孕妇可以使用华法林吗？", "孕妇不可以使用华法林吗？"),
    ("甲状腺功能亢进的首选治疗是什么？", "甲状腺功能减退的首选治疗是什么？"),
    ("儿童发热时首选什么药物？", "老人发热时首选什么药物？"),
    ("胃癌患者应做哪些检查？", "胃溃疡患者应做哪些检查？"),
    ("青霉素可以治疗梅毒吗？", "红霉素可以治疗梅毒吗？"),
    ("慢性支气管炎急性发作时应当如何处理？", "骨质疏松性椎体骨折后应当如何处理？"),
    ("高血圧の治療は何ですか", "低血圧の治療は何ですか"),
    ("アスピリンは脳梗塞を予防しますか", "ヘパリンは脳梗塞を予防しますか"),
    ("アスピリンは脳梗塞を予防しますか", "アスピリンは脳梗塞を予防しませんか"),
    ("Какое лечение показано при остром панкреатите?", "Какое лечение показано при остром холецистите?"),
    ("Нужно ли лечить бессимптомную гипертензию?", "Нужно ли лечить бессимптомную гипотензию?"),
    ("Помогает ли аспирин при мигрени?", "Не помогает ли аспирин при мигрени?"),
    ("ما هو علاج الربو؟", "ما هو علاج السكري؟"),
    ("هل الأسبرين آمن للحوامل؟", "هل الأسبرين غير آمن للحوامل؟"),
    ("ยาแอสไพรินป้องกันโรคหลอดเลือดสมองได้หรือไม่", "ยาวาร์ฟารินป้องกันโรคหลอดเลือดสมองได้หรือไม่"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_question_in_other_words(one, other):
    assert compare_questions(one, other) == compare_questions(other, one) == "same"


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_question_in_nearly_the_same_words(one, other):
    assert compare_questions(one, other) != "same"
    assert compare_questions(other, one) != "same"


@pytest.mark.parametrize(("one", "other"), SAME)
def test_every_such_pair_is_found_among_other_rows(one, other):
    others = [text for pair in (*DIFFERENT, *SAME) for text in pair if text not in (one, other)]
    rows = [Passage("the row", "question", other), *(Passage(f"row {n}", "question", t) for n, t in enumerate(others))]
    (overlap,) = TrainingIndex(rows).find([Passage("item", "question", one)])
    assert overlap.kind in ("exact", "near")


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_no_such_pair_is_found(one, other):
    overlaps = TrainingIndex([Passage("row", "question", other)]).find([Passage("item", "question", one)])
    assert [overlap for overlap in overlaps if overlap.kind != "n-gram" or one[:9] != ADMITTED[:9]] == []


@pytest.mark.parametrize("text", [one for one, _ in SAME])
def test_a_question_is_itself_in_any_form_of_unicode(text):
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert compare_questions(text, unicodedata.normalize(form, text).upper()) == "same"


def test_shares_count_words_whatever_their_order():
    assert shared_words("a b c d", "d c b a") == 1
    assert shared_words("a b c", "a b d") == pytest.approx(2 / 3)
    assert shared_words("a b", "c") == 0


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("metofrmin", "same"),
        ("metformiin", "same"),
        ("metforin", "same"),
        ("metfornin", "same"),
        ("metfxymin", "decisive"),
        ("mefatormin", "decisive"),
        ("metfor", "decisive"),
    ],
)
def test_one_letter_more_less_or_swapped_is_a_typo(word, verdict):
    assert compare_questions("Does metformin help gout?", f"Does {word} help gout?") == verdict


@pytest.mark.parametrize(
    ("other", "verdict"), [("高血压肾损伤表现", "same"), ("高血压心损害表现", "decisive"), ("咳嗽", "unrelated")]
)
def test_one_replaced_character_of_unspaced_text_is_a_typo(other, verdict):
    assert compare_questions("高血压肾损害表现", other) == verdict


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ("Does aspirin reduce mortality in heart failure?", "decisive"),
        ("Does metformin not reduce mortality in heart failure?", "decisive"),
        ("Does aspirin prevent stroke in adults with atrial fibrillation?", "unrelated"),
        ("Is tea safe?", "unrelated"),
    ],
)
def test_only_questions_of_one_template_differ_decisively(other, verdict):
    assert compare_questions(METFORMIN, other) == verdict


@pytest.mark.parametrize(
    ("other", "verdict"), [("痛风急性期首选的是什么药？", "same"), ("痛风急性期的发作首选什么药？", "decisive")]
)
def test_up_to_two_added_characters_of_unspaced_text_are_wording(other, verdict):
    assert compare_questions("痛风急性期首选什么药？", other) == verdict


FEVER = (
    "A farmer from the coast reports fever, productive cough, pleuritic pain, night sweats, weight loss, poor appetite,"
    " joint stiffness, blurred vision, mild headache and a spreading facial rash since yesterday."
)
SHORT_FEVER = "A farmer from the coast reports fever, productive cough, pleuritic pain, night sweats and weight loss."
ORGANISM = "What is the most likely organism?"
KIDNEY = "高血压肾损害表现与糖尿病肾损害表现"


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ("What is it?", "What is it?", "same"),
        ("What is it?", "Which is that?", "unrelated"),
        ("Which of these is true? A. Zinc is a metal B. Iron is a gas", "Which of these is true?", "unrelated"),
        # Half of the words are those of a template; fewer are not.
        ("aspirin relieves severe headache", "aspirin relieves mild cough", "decisive"),
        ("aspirin relieves severe headache quickly", "aspirin relieves mild cough slowly", "unrelated"),
        # Three shared content words allow one more, and no number; an unspaced character is half a word.
        ("Is aspirin safe?", "Is aspirin safe overnight?", "unrelated"),
        ("Is vitamin K safe?", "Is vitamin K safe overnight?", "same"),
        ("How is acute gout treated?", "How is acute painful relapsing gout treated?", "unrelated"),
        ("Is warfarin safe in heart failure?", "Is 50mg warfarin safe in heart failure?", "decisive"),
        ("痛风急性期首选什么药？", "痛风急性期夜间首选什么药？", "same"),
        ("痛风急性期首选什么药？", "痛疯急性期夜间首选什么药？", "unrelated"),
        ("痛风首选", "痛风首选药", "unrelated"),
        ("痛风首选药", "痛疯首选药", "same"),
        ("高血压肾损害表现", "高血压肾病变表现", "decisive"),
        (KIDNEY, "高血压肾损伤表现与夜间糖尿病肾损害表现", "same"),
        # One misspelt word is allowed beside one more word, and two are not.
        (METFORMIN, "Does metforminx reduce mortality in heart failure?", "same"),
        (METFORMIN, "Does metfromin reduce mortality in heart failure reportedly?", "same"),
        (METFORMIN, "Does metfromin reduce mortality in congestive heart failure?", "same"),
        (METFORMIN, "Does metfromin reduce motrality in heart failure?", "unrelated"),
        ("Does best metformin help?", "Does metfromin help?", "same"),
        ("Is surgery safe in females with gout?", "Is surgery safe in feamles with gout?", "same"),
        ("Does insulin help gout?", "Does insul1n help gout?", "decisive"),
        # One-letter Arabic words are written together with the next word, whose root has three letters.
        ("ما علاج كبد مريض؟", "ما علاج وكبد مريض؟", "same"),
        ("ما علاج كبد مريض؟", "ما علاج بكبد مريض؟", "same"),
        ("ما علاج دم مريض؟", "ما علاج ودم مريض؟", "decisive"),
        # Words that occur often count like others.
        ("iron " + "zinc " * 250, "copper " + "zinc " * 250, "decisive"),
        # One word in ten may change in a long description.
        (f"{FEVER} {ORGANISM}", f"{FEVER.replace('farmer', 'teacher').replace('coast', 'hills')} {ORGANISM}", "same"),
        (f"{FEVER} {ORGANISM}", f"{FEVER.replace('farmer from the coast', 'new teacher')} {ORGANISM}", "decisive"),
        (f"{SHORT_FEVER} {ORGANISM}", f"{SHORT_FEVER.replace('farmer', 'teacher')} {ORGANISM}", "decisive"),
    ],
)
def test_how_much_wording_may_differ(one, other, verdict):
    assert compare_questions(one, other) == compare_questions(other, one) == verdict


def test_options_may_differ_in_inflection():
    one, other = (
        "Which lowers urate in gout? A. zinc salt B. iron",
        "Which lowers urate in gout? A. zinc salts B. iron",
    )
    assert compare_questions(one, other) == "same"


@pytest.mark.parametrize(("words", "verdict"), [(1000, "same"), (1001, "unrelated")])
def test_only_texts_of_up_to_1000_words_are_compared_word_by_word(words, verdict):
    assert compare_questions("zinc " * words, "zinc " * words) == verdict


def test_only_texts_of_up_to_6000_characters_are_compared_word_by_word():
    question = "Does zinc shorten colds? ".ljust(6000, ".")
    assert compare_questions(question, question) == "same"
    assert compare_questions(question, f"{question}.") == "unrelated"


@pytest.mark.parametrize("piece", ["one ", "A. ", "a", "不", "岁", "n't ", "l'", "old ", "<"])
def test_hostile_questions_take_no_longer_than_others(piece):
    started = time.process_time()
    compare_questions(piece * (5999 // len(piece)), piece * (5990 // len(piece)) + "x")
    assert time.process_time() - started < 2
